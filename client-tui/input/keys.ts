/**
 * What a terminal sends, as key presses. Pure: the reader keeps what is not a whole key yet and hands it back with the
 * next bytes; a lone ESC is the Escape key once nothing followed it (the caller's clock decides).
 *
 * A paste comes in brackets (`ESC[200~ ... ESC[201~`) and is text, whatever is in it: a pasted `q` quits nothing.
 */

export type KeyName =
  | "char"
  | "enter"
  | "escape"
  | "tab"
  | "backtab"
  | "backspace"
  | "delete"
  | "up"
  | "down"
  | "left"
  | "right"
  | "home"
  | "end"
  | "pageup"
  | "pagedown"
  | "paste";

export interface KeyPress {
  readonly name: KeyName;
  /** Of `char` what was typed (with ctrl the letter, lower case), of `paste` what was pasted; else empty. */
  readonly text: string;
  readonly ctrl: boolean;
  readonly alt: boolean;
}

/** An unfinished paste or sequence beyond this is taken as it is. */
const pendingCharsMax = 1024 * 1024;

const pasteStart = "\u001b[200~";
const pasteEnd = "\u001b[201~";

const press = (name: KeyName, more: Partial<KeyPress> = {}): KeyPress => ({
  name,
  text: "",
  ctrl: false,
  alt: false,
  ...more,
});

const finals: Readonly<Record<string, KeyName>> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  F: "end",
  H: "home",
  Z: "backtab",
};
const tildes: Readonly<Record<string, KeyName>> = {
  1: "home",
  3: "delete",
  4: "end",
  5: "pageup",
  6: "pagedown",
  7: "home",
  8: "end",
};

/** `ESC [ parameters final` and `ESC O final`; a modifier is the second parameter, less one: 1 shift, 2 alt, 4 ctrl. */
const sequence = /^\u001b(?:\[([0-9;]*)([A-Za-z~^$])|O([A-Za-z]))/;
/** Any other control sequence, to be passed over whole. */
const unknownSequence = /^\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|O[ -~])/;
/** The beginning of one. */
const unfinished = /^\u001b(?:\[[0-?]*[ -/]*|\][^\u0007\u001b]*\u001b?|O)?$/;

export interface KeysRead {
  readonly keys: readonly KeyPress[];
  /** Not a whole key yet. */
  readonly pending: string;
}

/** `isLast`: nothing follows soon, so an ESC is the key and the rest is text. */
export const readKeys = (input: string, isLast = false): KeysRead => {
  const keys: KeyPress[] = [];
  let rest = input;
  while (rest !== "") {
    if (rest.startsWith(pasteStart)) {
      const endAt = rest.indexOf(pasteEnd, pasteStart.length);
      if (endAt < 0 && rest.length <= pendingCharsMax) return { keys, pending: rest };
      keys.push(press("paste", { text: rest.slice(pasteStart.length, endAt < 0 ? undefined : endAt) }));
      rest = endAt < 0 ? "" : rest.slice(endAt + pasteEnd.length);
      continue;
    }
    if (rest.startsWith("\u001b")) {
      const known = sequence.exec(rest);
      if (known !== null) {
        const key = keyOfSequence(known[1] ?? "", known[2] ?? known[3] ?? "");
        if (key !== undefined) keys.push(key);
        rest = rest.slice(known[0].length);
        continue;
      }
      const unknown = unknownSequence.exec(rest);
      if (unknown !== null) {
        rest = rest.slice(unknown[0].length);
        continue;
      }
      if (unfinished.test(rest) && !isLast && rest.length <= pendingCharsMax) return { keys, pending: rest };
      if (rest.length > 1 && rest[1] !== "\u001b") {
        // Alt sends ESC before the key.
        const { key, length } = plainKey(rest.slice(1));
        keys.push({ ...key, alt: true });
        rest = rest.slice(1 + length);
        continue;
      }
      keys.push(press("escape"));
      rest = rest.slice(1);
      continue;
    }
    const { key, length } = plainKey(rest);
    keys.push(key);
    rest = rest.slice(length);
  }
  return { keys, pending: "" };
};

const keyOfSequence = (parameters: string, final: string): KeyPress | undefined => {
  const [first = "", modifier = "1"] = parameters.split(";");
  const name = final === "~" ? tildes[first] : finals[final];
  if (name === undefined) return undefined;
  const bits = Math.max(0, Number(modifier) - 1);
  return press(name, { alt: (bits & 2) !== 0, ctrl: (bits & 4) !== 0 });
};

const plainKey = (text: string): { readonly key: KeyPress; readonly length: number } => {
  const char = String.fromCodePoint(text.codePointAt(0) ?? 0);
  const code = char.charCodeAt(0);
  const { length } = char;
  if (char === "\r" || char === "\n") return { key: press("enter"), length };
  if (char === "\t") return { key: press("tab"), length };
  if (code === 0x7f || code === 0x08) return { key: press("backspace"), length };
  if (code === 0x1b) return { key: press("escape"), length };
  if (code < 0x20) return { key: press("char", { text: String.fromCharCode(code + 0x60), ctrl: true }), length };
  return { key: press("char", { text: char }), length };
};
