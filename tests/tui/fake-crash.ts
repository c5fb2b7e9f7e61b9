/** Takes the terminal as the TUI does, and then fails as nobody foresaw: its argument says how. */
import { openTerminal } from "../../client-tui/terminal/terminal.ts";

const terminal = openTerminal(
  { stdin: process.stdin, stdout: process.stdout },
  { onKeys: () => undefined, onResize: () => undefined, onResume: () => undefined },
);
terminal.write("on the second screen");
process.stdin.once("data", () => {
  if (process.argv[2] === "throw") throw new Error("a bug");
  if (process.argv[2] === "reject") void Promise.reject(new Error("a bug"));
  if (process.argv[2] === "exit") process.exit(7);
});
