/**
 * The terminal UI: `runTui` takes the terminal, and gives it back as it was.
 *
 * Whoever imports this has set NODE_ENV=production before: React's development build records a measure per render that
 * Node never frees. And FORCE_COLOR is of no concern here: styles are our own SGR sequences, see text/row.ts.
 */
import { openCluster } from "./cluster-client.ts";
import { runProgram } from "./program.ts";
import { openTerminal } from "./terminal/terminal.ts";

export interface TuiOptions {
  /** `host:port` of HTTP ports; at least one. */
  readonly addresses: readonly string[];
  readonly password: string | undefined;
  readonly readOnly: boolean;
  /** False: NO_COLOR. */
  readonly colors: boolean;
}

/** Resolves when the person quits; rejects when there is no use in trying on (a wrong password). */
export const runTui = (options: TuiOptions): Promise<void> =>
  runProgram({
    openCluster: openCluster(options),
    openTerminal: (listener) => openTerminal({ stdin: process.stdin, stdout: process.stdout }, listener),
    readOnly: options.readOnly,
    colors: options.colors,
  });
