/**
 * The command line (`:`): every command of the peer, with completion and syntax from the command table, a history that
 * keeps no passwords, typed replies, and a question before what is dangerous.
 */

import type { WireReply } from "../../protocol/client-messages.ts";
import {
  tuiConsoleHistoryLineMax,
  tuiConsoleHistoryMax,
  tuiConsoleLinesMax,
  tuiConsoleReplyLinesMax,
} from "../../protocol/limits.ts";
import { splitArguments } from "../../protocol/text.ts";
import type { CommandError, Latin1 } from "../cluster.ts";
import type { KeyPress } from "../input/keys.ts";
import { editLine, editorOf, editorText, emptyEditor, insert } from "../input/line-editor.ts";
import { textToLatin1, visibleText } from "../text/visible.ts";
import { complete } from "./completion.ts";
import { refreshPreview } from "./keys-pane.ts";
import { pageOf } from "./layout.ts";
import { type ConsoleLine, type ConsoleState, type Model, type Step, step } from "./model.ts";
import { charOf, movedTo } from "./movement.ts";
import { replyLines } from "./reply-text.ts";
import { changesSomething, warningOf } from "./safety.ts";

const withConsole = (model: Model, change: Partial<ConsoleState>): Model => ({
  ...model,
  console: { ...model.console, ...change },
});

const withLines = (model: Model, lines: readonly ConsoleLine[]): Model =>
  withConsole(model, { lines: [...model.console.lines, ...lines].slice(-tuiConsoleLinesMax), scrolled: 0 });

export const openConsole = (model: Model): Model => ({
  ...withConsole(model, { isTyping: true, from: model.pane === "console" ? model.console.from : model.pane }),
  pane: "console",
});

// ---- Typing -------------------------------------------------------------------------------------------------------------

export const onTypingKey = (model: Model, key: KeyPress): Step => {
  const { console } = model;
  const { editor } = console;
  switch (key.name) {
    case "escape":
      // First out of the completion, then out of the line, then back to where one came from.
      if (console.completion !== undefined) return step(withConsole(model, { completion: undefined }));
      if (editorText(editor) !== "")
        return step(withConsole(model, { editor: emptyEditor, historyAt: console.history.length }));
      return step({ ...withConsole(model, { isTyping: false }), pane: console.from });
    case "enter":
      return submit(model);
    case "tab":
    case "backtab": {
      const completion = complete(editor, console.completion, model.keys.loaded, key.name === "tab" ? 1 : -1);
      if (completion === undefined) return step(model);
      const word = completion.candidates[completion.index] ?? "";
      // One alone is taken whole.
      const isOnly = completion.candidates.length === 1;
      return step(
        withConsole(model, {
          editor: { before: completion.stem + word + (isOnly ? " " : ""), after: completion.after },
          completion: isOnly ? undefined : completion,
        }),
      );
    }
    case "up":
    case "down":
      return step(throughHistory(model, key.name === "up" ? -1 : 1));
    case "pageup":
    case "pagedown":
      return step(scroll(model, key));
    case "paste": {
      const text = key.text.replaceAll(/\p{Cc}+/gu, " ");
      return step(withConsole(model, { editor: insert(editor, text), completion: undefined }));
    }
    default: {
      if (key.ctrl && key.text === "l") return step(withConsole(model, { lines: [], scrolled: 0 }));
      const next = editLine(editor, key);
      return step(next === undefined ? model : withConsole(model, { editor: next, completion: undefined }));
    }
  }
};

const throughHistory = (model: Model, by: 1 | -1): Model => {
  const { history, historyAt, draft, editor } = model.console;
  const at = Math.max(0, Math.min(history.length, historyAt + by));
  if (at === historyAt) return model;
  const kept = historyAt === history.length ? editorText(editor) : draft;
  return withConsole(model, {
    historyAt: at,
    draft: kept,
    editor: editorOf(at === history.length ? kept : (history[at] ?? "")),
    completion: undefined,
  });
};

const scroll = (model: Model, key: KeyPress): Model => {
  const { lines, scrolled } = model.console;
  const at = Math.max(0, lines.length - 1 - scrolled);
  const moved = movedTo(key, at, lines.length, pageOf(model.size));
  return moved === undefined ? model : withConsole(model, { scrolled: Math.max(0, lines.length - 1 - moved) });
};

/** The pane while nothing is typed. */
export const onConsoleKey = (model: Model, key: KeyPress): Step => {
  if (key.name === "enter" || charOf(key) === "i") return step(openConsole(model));
  if (key.name === "escape") return step({ ...model, pane: model.console.from });
  return step(scroll(model, key));
};

// ---- Submitting -----------------------------------------------------------------------------------------------------------

const submit = (model: Model): Step => {
  const line = editorText(model.console.editor).trim();
  const cleared = withConsole(model, { editor: emptyEditor, draft: "", completion: undefined, scrolled: 0 });
  if (line === "") return step(withConsole(cleared, { historyAt: model.console.history.length }));
  const [first = ""] = line.toLowerCase().split(/\s+/);
  if (line === "q" || line === "quit" || line === "exit") return step({ ...cleared, quits: true });
  if (line === "clear") return step(remember(withConsole(cleared, { lines: [] }), line));
  // A password is neither remembered nor shown.
  const isSecret = first === "auth" || (first === "hello" && /\sauth\s/i.test(line));
  const asked = withLines(isSecret ? cleared : remember(cleared, line), [
    { kind: "asked", text: isSecret ? `${first.toUpperCase()} …` : visibleText(line) },
  ]);
  const refuse = (text: string): Step => step(withLines(asked, [{ kind: "error", text: `(error) ${text}` }]));
  const words = splitArguments(textToLatin1(line));
  if (words === undefined) return refuse("the quotes do not balance");
  const command = first.toUpperCase();
  if (streams.has(command)) return refuse(`${command} needs a connection of its own; the Feed pane shows changes`);
  if (model.readOnly && changesSomething(words)) return refuse("read-only: started with --read-only");
  const warning = warningOf(words, keysHere(model));
  if (warning !== undefined)
    return step({
      ...asked,
      dialog: {
        kind: "confirm",
        title: visibleText(line),
        lines: [warning],
        purpose: { kind: "command", line, words },
      },
    });
  return step(withConsole(asked, { waiting: asked.console.waiting + 1 }), {
    type: "command",
    words,
    purpose: { kind: "console", words },
  });
};

/** What would turn the connection of the screen into something else. */
const streams: ReadonlySet<string> = new Set(["MONITOR", "SUBSCRIBE", "PSUBSCRIBE", "SYNC", "PSYNC"]);

const remember = (model: Model, line: string): Model => {
  if (line.length > tuiConsoleHistoryLineMax) return model;
  const history = [...model.console.history.filter((entry) => entry !== line), line].slice(-tuiConsoleHistoryMax);
  return withConsole(model, { history, historyAt: history.length });
};

/** Keys the connected peer holds. */
const keysHere = (model: Model): number => {
  const { connection } = model;
  if (connection.state !== "connected") return 0;
  return model.peers.find(({ name }) => name === connection.peer.name)?.report?.keys ?? 0;
};

// ---- Replies ------------------------------------------------------------------------------------------------------------

export const onConsoleReply = (model: Model, words: readonly Latin1[], reply: WireReply): Step => {
  const lines = replyLines(reply, tuiConsoleReplyLinesMax).map((text) => ({ kind: "reply" as const, text }));
  return afterConsole(withLines(model, lines), words);
};

export const onConsoleRefused = (model: Model, words: readonly Latin1[], error: CommandError): Step => {
  const known = error.outcome === "unknown" ? " (it may have happened)" : "";
  const message = error.message.startsWith(error.code) ? error.message : `${error.code} ${error.message}`;
  return afterConsole(withLines(model, [{ kind: "error", text: `(error) ${visibleText(message)}${known}` }]), words);
};

const afterConsole = (model: Model, words: readonly Latin1[]): Step => {
  const done = withConsole(model, { waiting: Math.max(0, model.console.waiting - 1) });
  return changesSomething(words) ? refreshPreview(done) : step(done);
};
