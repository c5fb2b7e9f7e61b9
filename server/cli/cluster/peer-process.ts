/**
 * A process of the cluster, a peer's or the gateway's, as its parent sees it: start, the word that it serves, signals, its end.
 *
 * Its output goes straight into a file: no pipe of ours that could fill up and stop it. It is the leader of its own
 * process group, so that Ctrl-C in the terminal reaches only us; and it stops by itself if we vanish (IPC channel).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readSync, renameSync, statSync } from "node:fs";
import { peerLogFileBytesMax } from "../../../protocol/limits.ts";
import { failureText } from "../failure.ts";
import { parsePeerMessage } from "../peer-messages.ts";
import type { PlannedProcess } from "./plan.ts";

export interface PeerEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its last words: what it reported, else the last line of its log. */
  readonly lastWords: string;
}

export interface PeerProcess {
  readonly pid: number;
  /** Resolves when it serves; undefined when it ended before. */
  readonly serving: Promise<{ readonly tcpPort: number; readonly httpPort: number } | undefined>;
  readonly ended: Promise<PeerEnd>;
  signal(signal: NodeJS.Signals): void;
}

const lastWordsBytesMax = 2000;

export const startPeerProcess = (
  planned: PlannedProcess,
  launch: {
    /** node's own arguments, the script, and `peer` or `gateway`. */
    readonly command: readonly string[];
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly extraArguments: readonly string[];
  },
): PeerProcess => {
  const logFile = openLogFile(planned.logFile);
  const logStart = statSync(planned.logFile).size;
  const child: ChildProcess = spawn(
    process.execPath,
    [...launch.command, ...planned.arguments, ...launch.extraArguments],
    { stdio: ["ignore", logFile, logFile, "ipc"], detached: true, env: launch.env },
  );
  closeSync(logFile);

  let reported = "";
  const ended = new Promise<PeerEnd>((resolve) => {
    child.on("error", (error) => resolve({ code: 1, signal: null, lastWords: failureText(error) }));
    child.on("exit", (code, signal) =>
      resolve({ code, signal, lastWords: reported || lastLine(planned.logFile, logStart) }),
    );
  });
  const serving = new Promise<{ tcpPort: number; httpPort: number } | undefined>((resolve) => {
    child.on("message", (received) => {
      const message = parsePeerMessage(received);
      if (message?.type === "ready") resolve(message);
      if (message?.type === "failed") reported = withoutName(message.message);
    });
    ended.then(() => resolve(undefined)).catch(() => resolve(undefined));
  });
  return { pid: child.pid ?? 0, serving, ended, signal: (signal) => void child.kill(signal) };
};

const openLogFile = (path: string): number => {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes > peerLogFileBytesMax) renameSync(path, `${path}.1`);
  return openSync(path, "a", 0o640);
};

/** `peer b: the log is damaged`, without what the one who tells it says anyway. */
const withoutName = (message: string): string => message.replace(/^(peer \S+|gateway):? /, "");

/** The last line written since `start`. */
const lastLine = (path: string, start: number): string => {
  const file = openSync(path, "r");
  try {
    const from = Math.max(start, statSync(path).size - lastWordsBytesMax);
    const buffer = Buffer.alloc(lastWordsBytesMax);
    const text = buffer.toString("utf8", 0, readSync(file, buffer, 0, buffer.length, from)).trim();
    return withoutName(text.slice(text.lastIndexOf("\n") + 1).replace(/^chorus: /, ""));
  } finally {
    closeSync(file);
  }
};
