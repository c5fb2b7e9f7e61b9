/**
 * The terminal as the program has it: the second screen, no cursor, raw keys, pastes in brackets. However the process
 * ends, the first screen and the cursor come back: on return, on a signal, on an error nobody caught. What is written to
 * standard error meanwhile is held back until then.
 */
import { writeSync } from "node:fs";
import type { ReadStream, WriteStream } from "node:tty";
import type { KeyPress } from "../input/keys.ts";
import { readKeys } from "../input/keys.ts";
import type { Size } from "../model/model.ts";

const enterScreen = "\u001b[?1049h\u001b[?25l\u001b[?2004h\u001b[2J";
const leaveScreen = "\u001b[?2004l\u001b[0m\u001b[?25h\u001b[?1049l";

const stdoutFd = 1;

/** What follows an ESC within this time belongs to it. */
const escapeMs = 40;
/** Time in which a stop takes effect. It does not pass while we are stopped, and SIGCONT comes first. */
const resumeMs = 100;
/** A paste whose end does not come is taken as it is. */
const pasteMs = 1000;
/** Of what was said on standard error while the screen was up, the end. */
const heldCharsMax = 64 * 1024;
const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
const signalNumbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1, SIGQUIT: 3 } as const;

export interface TerminalListener {
  onKeys(keys: readonly KeyPress[]): void;
  onResize(size: Size): void;
  /** The screen was someone else's meanwhile. */
  onResume(): void;
}

export interface Terminal {
  readonly size: Size;
  write(text: string): void;
  /** Ctrl-Z: to the shell and back. */
  suspend(): void;
  /** Twice is fine. */
  close(): void;
}

export interface TerminalStreams {
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
}

export const openTerminal = ({ stdin, stdout }: TerminalStreams, listener: TerminalListener): Terminal => {
  let isOpen = true;
  let isSuspended = false;
  let pending = "";
  let timer: NodeJS.Timeout | undefined;

  // What Node or a library says meanwhile (a warning) would land in the middle of a row: it comes out at the end.
  const stderrWrite = process.stderr.write;
  let held = "";
  const hold = (text: unknown): boolean => {
    held = (held + (typeof text === "string" ? text : Buffer.from(text as Uint8Array).toString())).slice(-heldCharsMax);
    return true;
  };

  const size = (): Size => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 });

  const enter = (): void => {
    stdin.setRawMode(true);
    stdout.write(enterScreen);
    process.stderr.write = hold as typeof stderrWrite;
  };
  /** Synchronous and without the stream: nothing else may still run. */
  const leave = (): void => {
    process.stderr.write = stderrWrite;
    try {
      writeSync(stdoutFd, leaveScreen);
    } catch {
      // The terminal is gone; so is what was to be restored.
    }
    try {
      stdin.setRawMode(false);
    } catch {
      // The same.
    }
    if (held !== "") process.stderr.write(held);
    held = "";
  };

  const flush = (): void => {
    const { keys } = readKeys(pending, true);
    pending = "";
    if (keys.length > 0) listener.onKeys(keys);
  };
  const onData = (text: string): void => {
    clearTimeout(timer);
    const read = readKeys(pending + text);
    pending = read.pending;
    if (pending !== "") timer = setTimeout(flush, pending.startsWith("\u001b[200~") ? pasteMs : escapeMs);
    if (read.keys.length > 0) listener.onKeys(read.keys);
  };
  const onResize = (): void => listener.onResize(size());
  const onContinue = (): void => {
    if (!isSuspended) return;
    isSuspended = false;
    enter();
    listener.onResume();
  };
  const onExit = (): void => {
    if (isOpen) leave();
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    close();
    process.exit(128 + signalNumbers[signal as keyof typeof signalNumbers]);
  };
  const onCrash = (error: unknown): void => {
    close();
    process.stderr.write(`chorus: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  };
  /** Nobody reads any more. */
  const onGone = (): void => {
    close();
    process.exit(128 + signalNumbers.SIGHUP);
  };

  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    clearTimeout(timer);
    stdin.off("data", onData);
    stdin.pause();
    stdout.off("resize", onResize);
    stdout.off("error", onGone);
    process.off("SIGCONT", onContinue);
    process.off("exit", onExit);
    process.off("uncaughtException", onCrash);
    process.off("unhandledRejection", onCrash);
    for (const signal of signals) process.off(signal, onSignal);
    leave();
  };

  process.on("exit", onExit);
  process.on("uncaughtException", onCrash);
  process.on("unhandledRejection", onCrash);
  process.on("SIGCONT", onContinue);
  for (const signal of signals) process.on(signal, onSignal);
  stdout.on("resize", onResize);
  stdout.on("error", onGone);
  stdin.setEncoding("utf8");
  stdin.on("data", onData);
  stdin.on("end", onGone);
  enter();

  return {
    get size() {
      return size();
    },
    write: (text) => {
      if (isOpen && !isSuspended) stdout.write(text);
    },
    suspend: () => {
      if (isSuspended) return;
      isSuspended = true;
      leave();
      // To the whole group: npm and the shell's job are in it.
      process.kill(0, "SIGTSTP");
      // Without a shell that controls jobs the system stops nobody: then we go on at once.
      setTimeout(onContinue, resumeMs);
    },
    close,
  };
};
