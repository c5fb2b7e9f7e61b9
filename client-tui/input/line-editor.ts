/** One line of input with a cursor that stands between graphemes. Pure; the keys are those of a shell. */

import { tuiEditorCharsMax } from "../../protocol/limits.ts";
import { graphemesOf } from "../text/visible.ts";
import type { KeyPress } from "./keys.ts";

export interface LineEditor {
  readonly before: string;
  readonly after: string;
}

export const emptyEditor: LineEditor = { before: "", after: "" };
export const editorOf = (text: string): LineEditor => ({ before: text, after: "" });
export const editorText = ({ before, after }: LineEditor): string => before + after;

export const insert = (editor: LineEditor, text: string): LineEditor =>
  editor.before.length + editor.after.length + text.length > tuiEditorCharsMax
    ? editor
    : { before: editor.before + text, after: editor.after };

const lastOf = (text: string): string => graphemesOf(text.slice(-64)).at(-1) ?? "";
const firstOf = (text: string): string => graphemesOf(text.slice(0, 64))[0] ?? "";
const wordBefore = (text: string): string => /\S*\s*$/.exec(text)?.[0] ?? "";
const wordAfter = (text: string): string => /^\s*\S*/.exec(text)?.[0] ?? "";

/** Undefined: the key means nothing to a line of text. */
export const editLine = (editor: LineEditor, key: KeyPress): LineEditor | undefined => {
  const { before, after } = editor;
  switch (key.name) {
    case "char":
      if (!key.ctrl && !key.alt) return insert(editor, key.text);
      break;
    case "left": {
      const step = key.ctrl || key.alt ? wordBefore(before) : lastOf(before);
      return { before: before.slice(0, before.length - step.length), after: step + after };
    }
    case "right": {
      const step = key.ctrl || key.alt ? wordAfter(after) : firstOf(after);
      return { before: before + step, after: after.slice(step.length) };
    }
    case "home":
      return { before: "", after: before + after };
    case "end":
      return { before: before + after, after: "" };
    case "backspace":
      return {
        before: before.slice(0, before.length - (key.alt ? wordBefore(before) : lastOf(before)).length),
        after,
      };
    case "delete":
      return { before, after: after.slice(firstOf(after).length) };
    default:
      return undefined;
  }
  if (key.ctrl)
    switch (key.text) {
      case "a":
        return { before: "", after: before + after };
      case "e":
        return { before: before + after, after: "" };
      case "u":
        return { before: "", after };
      case "k":
        return { before, after: "" };
      case "w":
        return { before: before.slice(0, before.length - wordBefore(before).length), after };
      default:
        return undefined;
    }
  if (key.text === "b") return editLine(editor, { ...key, name: "left" });
  if (key.text === "f") return editLine(editor, { ...key, name: "right" });
  return undefined;
};
