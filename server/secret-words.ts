/** Passwords among a command's words: MONITOR and SLOWLOG show none. */

const nothing = (): boolean => false;

/**
 * Which words must not be shown: of AUTH all but the name, of HELLO the two behind each AUTH, whatever it stands for.
 * `fullName`: the command's name as the table has it.
 */
export const secretWords = (words: readonly string[], fullName: string): ((at: number) => boolean) => {
  if (fullName === "auth") return (at) => at > 0;
  if (fullName !== "hello") return nothing;
  const secret = new Set<number>();
  for (let at = 2; at < words.length; at += 1) {
    if (words[at]?.toUpperCase() === "AUTH") secret.add(at + 1).add(at + 2);
  }
  return (at) => secret.has(at);
};
