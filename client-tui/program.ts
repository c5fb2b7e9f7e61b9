/**
 * The loop: what happens becomes events, events make the next model, the model becomes a frame.
 *
 * Frames are few: ten a second at most while data streams in, sooner only for a key, so that typing feels at once. All
 * that came between two frames is in the next one.
 */
import { performance } from "node:perf_hooks";
import type { Cluster, OpenCluster } from "./cluster.ts";
import { type Effect, type Event, initialModel, type Model, type Size } from "./model/model.ts";
import { changesSomething } from "./model/safety.ts";
import { update } from "./model/update.ts";
import { openScreen } from "./screen.tsx";
import { Painter } from "./terminal/painter.ts";
import type { Terminal, TerminalListener } from "./terminal/terminal.ts";
import { widthOf } from "./text/visible.ts";

const frameMsMin = 100;
/** Every peer sends a status a second, each at its own time: those that come close together are one frame. */
const statusFrameMsMin = 300;
/** A held key repeats some thirty times a second. */
const keyFrameMsMin = 30;
/** Longest text sent to the clipboard; terminals drop longer ones. */
const clipboardBytesMax = 64 * 1024;

export interface ProgramOptions {
  readonly openCluster: OpenCluster;
  readonly openTerminal: (listener: TerminalListener) => Terminal;
  readonly readOnly: boolean;
  readonly colors: boolean;
}

const gapOf = ({ type }: Event): number => {
  if (type === "key" || type === "resized") return keyFrameMsMin;
  return type === "status" || type === "second" ? statusFrameMsMin : frameMsMin;
};

/** Resolves when the person quits; the terminal is restored by then. */
export const runProgram = (options: ProgramOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    let model: Model;
    let cluster: Cluster | undefined;
    let timer: NodeJS.Timeout | undefined;
    let dueMs = Number.POSITIVE_INFINITY;
    let paintedMs = Number.NEGATIVE_INFINITY;
    let isOver = false;

    const handle = (event: Event): void => {
      if (isOver) return;
      const { model: next, effects } = update(model, event, Date.now());
      const isSame = next === model;
      model = next;
      for (const effect of effects) run(effect);
      if (model.quits) end();
      else if (!isSame) paintIn(gapOf(event));
    };

    const run = (effect: Effect): void => {
      if (effect.type === "copy") {
        const bytes = Buffer.from(effect.text.slice(0, clipboardBytesMax), "latin1");
        terminal.write(`\u001b]52;c;${bytes.toString("base64")}\u0007`);
        return;
      }
      const { words, purpose, address } = effect;
      // The model asks for none of these when it is read-only; this holds if it ever does.
      if (options.readOnly && changesSomething(words)) {
        const error = { code: "READONLY", message: "started with --read-only", outcome: "not-applied" } as const;
        handle({ type: "refused", purpose, error });
        return;
      }
      const answered = cluster?.command(words, address);
      void answered?.then((result) =>
        handle(
          result.ok
            ? { type: "replied", purpose, reply: result.reply }
            : { type: "refused", purpose, error: result.error },
        ),
      );
    };

    const paintIn = (gapMs: number): void => {
      const atMs = Math.max(performance.now(), paintedMs + gapMs);
      if (atMs >= dueMs) return;
      clearTimeout(timer);
      dueMs = atMs;
      timer = setTimeout(paint, Math.max(0, atMs - performance.now()));
    };

    const paint = (): void => {
      dueMs = Number.POSITIVE_INFINITY;
      paintedMs = performance.now();
      painter.paint(screen.frame(model), model.size.rows);
    };

    const end = (error?: unknown): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      clearInterval(seconds);
      cluster?.close();
      screen.close();
      terminal.close();
      if (error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error(String(error)));
    };

    const terminal = options.openTerminal({
      onKeys: (keys) => {
        for (const key of keys) {
          if (key.ctrl && key.text === "z") terminal.suspend();
          else handle({ type: "key", key });
        }
      },
      onResize: (size: Size) => {
        painter.forget();
        handle({ type: "resized", size });
      },
      onResume: () => {
        painter.forget();
        paintIn(0);
      },
    });
    model = initialModel({
      size: terminal.size,
      readOnly: options.readOnly,
      colors: options.colors,
      nowMs: Date.now(),
    });
    const screen = openScreen(model.size, end);
    const painter = new Painter((text) => terminal.write(text), widthOf);
    const seconds = setInterval(() => handle({ type: "second" }), 1000);
    cluster = options.openCluster({
      onConnected: (peer) => handle({ type: "connected", peer }),
      onDisconnected: (why) => handle({ type: "disconnected", why }),
      onStatus: (address, report) => handle({ type: "status", address, report }),
      onSilent: (name, address, why) => handle({ type: "silent", name, address, why }),
      onChanges: (changes, left) => handle({ type: "changes", changes, left }),
      onFeedNote: (note) => handle({ type: "feed-note", note }),
      onConflicts: (conflicts) => handle({ type: "conflicts", conflicts }),
      onHopeless: (why) => end(new Error(why)),
    });
    paintIn(0);
  });
