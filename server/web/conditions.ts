/** `If-Match` and `If-None-Match`. Our entity tags are the versions of keys in quotes, and strong. */

export type TagList = "*" | readonly string[];

/** Tags without their quotes, weak ones left out (they match nothing that is compared strongly). Undefined: no such list. */
export const parseTags = (header: string, weak: "skip" | "take"): TagList | undefined => {
  const text = header.trim();
  if (text === "*") return "*";
  const tags: string[] = [];
  const pattern = /[ \t]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)/y;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) return undefined;
    if (match[1] === undefined || weak === "take") tags.push(match[2] ?? "");
  }
  return tags;
};

export const tagOf = (version: string): string => `"${version}"`;

/** Judges GET and HEAD of a key that is at `version`; undefined: of one that is not there. */
export const judgeRead = (
  headers: { readonly "if-match"?: string | undefined; readonly "if-none-match"?: string | undefined },
  version: string | undefined,
): "answer" | "not-modified" | "failed" | "malformed" => {
  const { "if-match": match, "if-none-match": noneMatch } = headers;
  const holds = (tags: TagList): boolean =>
    version !== undefined && (tags === "*" || tags.some((tag) => tag === version));
  if (match !== undefined) {
    const tags = parseTags(match, "skip");
    if (tags === undefined) return "malformed";
    if (!holds(tags)) return "failed";
  }
  if (noneMatch !== undefined) {
    const tags = parseTags(noneMatch, "take");
    if (tags === undefined) return "malformed";
    if (holds(tags)) return "not-modified";
  }
  return "answer";
};

export type WriteCondition =
  | { readonly type: "none" }
  | { readonly type: "absent" }
  | { readonly type: "present" }
  | { readonly type: "version"; readonly version: string }
  /** Nothing that any key could have. */
  | { readonly type: "never" }
  | { readonly type: "malformed"; readonly why: string };

/** Of PUT and DELETE. One version at most: a peer judges it in the moment it writes, and compares it with one. */
export const writeCondition = (headers: {
  readonly "if-match"?: string | undefined;
  readonly "if-none-match"?: string | undefined;
}): WriteCondition => {
  const { "if-match": match, "if-none-match": noneMatch } = headers;
  if (noneMatch !== undefined) {
    if (match !== undefined) return { type: "malformed", why: "If-Match or If-None-Match, not both" };
    if (noneMatch.trim() !== "*") return { type: "malformed", why: "If-None-Match of a write is * (create only)" };
    return { type: "absent" };
  }
  if (match === undefined) return { type: "none" };
  const tags = parseTags(match, "skip");
  if (tags === undefined) return { type: "malformed", why: 'If-Match is * or an ETag, "..."' };
  if (tags === "*") return { type: "present" };
  const [version] = tags;
  if (tags.length > 1) return { type: "malformed", why: "If-Match of a write takes one ETag" };
  // A tag with spaces cannot come here; an empty one is no version.
  return version === undefined || version === "" ? { type: "never" } : { type: "version", version };
};
