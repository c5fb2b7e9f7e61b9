/** Paths and queries of URLs as bytes: `%ff` is the byte FF, whatever UTF-8 says, and comes as latin1. */

export type ParsedQuery =
  | { readonly ok: true; readonly values: ReadonlyMap<string, string> }
  | { readonly ok: false; readonly why: string };

const noValues: ParsedQuery = { ok: true, values: new Map() };

/** `url`: as in the request line. Only known names, each once. A name without `=` has the value "". */
export const parseQuery = (url: string, known: ReadonlySet<string>): ParsedQuery => {
  const queryAt = url.indexOf("?");
  if (queryAt < 0) return noValues;
  const values = new Map<string, string>();
  for (const part of url.slice(queryAt + 1).split("&")) {
    if (part === "") continue;
    const equalsAt = part.indexOf("=");
    const name = decodeQuery(equalsAt < 0 ? part : part.slice(0, equalsAt));
    const value = decodeQuery(equalsAt < 0 ? "" : part.slice(equalsAt + 1));
    if (name === undefined || value === undefined) {
      return { ok: false, why: "a % in the query is not followed by two hex digits" };
    }
    if (!known.has(name)) {
      const names = known.size === 0 ? "there are none here" : `there are ${[...known].join(", ")}`;
      return { ok: false, why: `unknown parameter; ${names}` };
    }
    if (values.has(name)) return { ok: false, why: `${name} is given twice` };
    values.set(name, value);
  }
  return { ok: true, values };
};

/** Of a path, where a plus is a plus. Undefined: a % that is none. */
export const decodePath = (text: string): string | undefined => {
  if (!text.includes("%")) return text;
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  return text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
};

const decodeQuery = (text: string): string | undefined =>
  decodePath(text.includes("+") ? text.replaceAll("+", " ") : text);
