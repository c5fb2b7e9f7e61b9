/** Moving through a list by keys, the same in every pane: j/k, arrows, g/G, Home/End, PgUp/PgDn, Ctrl-U/Ctrl-F. */
import type { KeyPress } from "../input/keys.ts";

/** The new index, within the list; undefined: the key moves nothing. */
export const movedTo = (key: KeyPress, index: number, count: number, page: number): number | undefined => {
  const within = (at: number): number => Math.max(0, Math.min(count - 1, at));
  switch (key.name) {
    case "up":
      return within(index - 1);
    case "down":
      return within(index + 1);
    case "home":
      return 0;
    case "end":
      return within(count - 1);
    case "pageup":
      return within(index - page);
    case "pagedown":
      return within(index + page);
    case "char":
      if (key.alt) return undefined;
      if (key.ctrl) {
        if (key.text === "u" || key.text === "b") return within(index - page);
        return key.text === "f" ? within(index + page) : undefined;
      }
      switch (key.text) {
        case "k":
          return within(index - 1);
        case "j":
          return within(index + 1);
        case "g":
          return 0;
        case "G":
          return within(count - 1);
        default:
          return undefined;
      }
    default:
      return undefined;
  }
};

/** A plain character, or "" for any other key. */
export const charOf = (key: KeyPress): string => (key.name === "char" && !key.ctrl && !key.alt ? key.text : "");
