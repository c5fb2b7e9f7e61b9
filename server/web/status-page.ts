/**
 * The status page, `/` on peers and gateways: one HTML with its style and script inside, made when the process starts
 * from the files in page/, and nothing else is ever loaded. Its policy allows this very script and style, by their hashes,
 * and asking where it came from; so a key or a value that finds its way into the page can do nothing there.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export interface StatusPage {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
}

const partOf = (name: string): string => readFileSync(new URL(`page/${name}`, import.meta.url), "utf8");
const sourceOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

let made: StatusPage | undefined;

/** Read once. Throws when the files are not there: a broken installation. */
export const statusPage = (): StatusPage => {
  made ??= makeStatusPage(partOf("page.html"), partOf("page.css"), partOf("page.js"));
  return made;
};

const makeStatusPage = (frame: string, style: string, script: string): StatusPage => ({
  // Functions, since a dollar sign in a replacement has a meaning.
  html: frame.replace("/*STYLE*/", () => style).replace("/*SCRIPT*/", () => script),
  headers: {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": [
      "default-src 'none'",
      `script-src ${sourceOf(script)}`,
      `style-src ${sourceOf(style)}`,
      "connect-src 'self'",
      "img-src data:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
  },
});
