/** Redis's own error lines, word for word: clients map on them. */

export const syntaxError = "ERR syntax error";
export const notAnInteger = "ERR value is not an integer or out of range";
export const notAFloat = "ERR value is not a valid float";
export const notFinite = "ERR increment would produce NaN or Infinity";
export const wouldOverflow = "ERR increment or decrement would overflow";
export const noSuchKey = "ERR no such key";
export const stringTooLong = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
export const databaseOutOfRange = "ERR DB index is out of range";
export const loginRequired = "NOAUTH Authentication required.";
export const wrongPassword = "WRONGPASS invalid username-password pair or user is disabled.";

export const wrongArity = (fullName: string): string => `ERR wrong number of arguments for '${fullName}' command`;
export const invalidExpireTime = (fullName: string): string => `ERR invalid expire time in '${fullName}' command`;
export const refusedInSubscribeMode = (fullName: string): string =>
  `ERR Can't execute '${fullName}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`;

/** Error lines end at CRLF, so bytes of a client's must not bring their own. */
const oneLine = (text: string): string => text.replace(/[\r\n]/g, " ");

/** As a C string is printed: up to the first NUL, at most so many bytes. */
const printed = (text: string, bytesMax: number): string => {
  const cut = text.slice(0, bytesMax);
  const nulAt = cut.indexOf("\0");
  return nulAt < 0 ? cut : cut.slice(0, nulAt);
};

export const unknownCommand = (words: readonly string[]): string => {
  let shown = "";
  for (let at = 1; at < words.length && shown.length < 128; at += 1) {
    shown += `'${printed(words[at] ?? "", 128 - shown.length)}' `;
  }
  return oneLine(`ERR unknown command '${printed(words[0] ?? "", 128)}', with args beginning with: ${shown}`);
};

export const unknownSubcommand = (container: string, subcommand: string): string =>
  oneLine(`ERR unknown subcommand '${printed(subcommand, 128)}'. Try ${container.toUpperCase()} HELP.`);

export const keyTooLong = (bytes: number, bytesMax: number): string =>
  `ERR key is too long (${bytes} bytes, limit ${bytesMax})`;

/** Quotes what a client sent inside an error line. */
export const quoted = (text: string): string => `'${oneLine(printed(text, 128))}'`;
