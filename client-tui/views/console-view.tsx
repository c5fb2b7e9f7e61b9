/** The Console: what was asked and answered, the line that is typed, and what may come next. */
import type { ReactNode } from "react";
import { editorText } from "../input/line-editor.ts";
import { hintOf } from "../model/completion.ts";
import { panelRows } from "../model/layout.ts";
import type { ConsoleLine, Model } from "../model/model.ts";
import { type Row, type Span, type Style, span } from "../text/row.ts";
import { visibleText, widthOf, wrap, wrapWords } from "../text/visible.ts";
import { editorRow } from "./editor-row.ts";
import { insideWidth, Panel } from "./panel.tsx";

interface PaneProps {
  readonly model: Model;
  readonly width: number;
  readonly height: number;
}

export const ConsoleView = ({ model, width, height }: PaneProps): ReactNode => (
  <Panel
    title={[span("Console", "title"), span(` commands run at ${placeOf(model)}`, "quiet")]}
    note={model.console.waiting > 0 ? [span("waiting …", "warn")] : []}
    rows={consoleRows(model, insideWidth(width), panelRows(height))}
    width={width}
    height={height}
    colors={model.colors}
    focused
  />
);

const placeOf = ({ connection }: Model): string =>
  connection.state === "connected" ? visibleText(connection.peer.name) : "no peer yet";

const styles: Readonly<Record<ConsoleLine["kind"], Style>> = {
  asked: "accent",
  reply: "plain",
  error: "bad",
  note: "quiet",
};

export const consoleRows = (model: Model, width: number, height: number): Row[] => {
  const { console } = model;
  const hints = hintRows(model, width);
  const room = Math.max(1, height - 1 - hints.length);
  const output = outputRows(model, width, room);
  const prompt: Row = [span(`${placeOf(model)}> `, "title")];
  const line: Row = console.isTyping
    ? editorRow(console.editor, width, prompt)
    : [...prompt, span("press : or Enter to type", "quiet")];
  const blank = Array.from({ length: room - output.length }, (): Row => []);
  return [...blank, ...output, line, ...hints];
};

/** The last lines that fit, wrapped; further up when scrolled. */
const outputRows = ({ console }: Model, width: number, room: number): Row[] => {
  const rows: Row[] = [];
  for (let at = console.lines.length - 1 - console.scrolled; at >= 0 && rows.length < room; at--) {
    const line = console.lines[at];
    if (line === undefined) break;
    const text = line.kind === "asked" ? `> ${line.text}` : line.text;
    const wrapped = wrap(text, width, 200);
    for (let index = wrapped.length - 1; index >= 0 && rows.length < room; index--)
      rows.unshift([span(wrapped[index] ?? "", styles[line.kind])]);
  }
  return rows;
};

/** Two rows at least, so that the line being typed stays where it is. */
const hintRows = (model: Model, width: number): Row[] => {
  const { editor, completion, isTyping } = model.console;
  if (!isTyping) return [[], []];
  const { syntax, summary } = hintOf(editorText(editor));
  const first = syntax === undefined ? [] : syntaxRows(syntax, width);
  const second =
    completion === undefined
      ? wrapWords(summary, width, 3).map((line): Row => [span(line, "quiet")])
      : [candidatesRow(completion.candidates, completion.index, width)];
  const rows = [...first, ...second];
  return rows.length < 2 ? [...rows, []] : rows;
};

const syntaxRows = (syntax: string, width: number): Row[] => {
  const [name = ""] = syntax.split(" ");
  return wrapWords(syntax, width, 3).map(
    (line, index): Row =>
      index === 0
        ? [span(line.slice(0, name.length), "title"), span(line.slice(name.length), "key")]
        : [span(line, "key")],
  );
};

/** The chosen one in view, with those around it. */
const candidatesRow = (candidates: readonly string[], index: number, width: number): Row => {
  const row: Span[] = [];
  let used = 0;
  // From a page of them on which the chosen one is.
  let from = 0;
  for (let at = 0; at <= index; at++) {
    const cells = widthOf(visibleText(candidates[at] ?? "")) + 2;
    if (used + cells > width - 2 && at > from) {
      from = at;
      used = 0;
    }
    used += cells;
  }
  used = 0;
  for (let at = from; at < candidates.length; at++) {
    const text = visibleText(candidates[at] ?? "");
    if (used + widthOf(text) + 2 > width && row.length > 0) {
      row.push(span("…", "quiet"));
      break;
    }
    row.push(span(text, at === index ? "selected" : "plain"), span("  "));
    used += widthOf(text) + 2;
  }
  return row;
};
