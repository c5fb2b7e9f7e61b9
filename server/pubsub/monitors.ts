/**
 * MONITOR: every command that runs at this peer, as Redis prints it, to whoever asks.
 *
 * While nobody does, a command costs one look at `active`. Passwords are never shown. Long arguments and long lists of
 * them are cut (Redis prints them whole), since writing out a value of megabytes would hold up everybody.
 */
import { monitorArgumentBytesMax, monitorArgumentsMax } from "../../protocol/limits.ts";
import { quote } from "../../protocol/text.ts";
import { secretWords } from "../secret-words.ts";
import type { Dialect, PushTarget, PushText } from "./push.ts";

/** What has a place for it: a session. */
export interface CanMonitor {
  readonly pushTarget?: PushTarget | undefined;
}

export class Monitors {
  /** True: `show` wants to be called for each command. */
  active = false;
  readonly #sessions = new Set<CanMonitor>();

  /** False: this connection takes no pushes. */
  add(session: CanMonitor): boolean {
    if (session.pushTarget === undefined) return false;
    this.#sessions.add(session);
    this.active = true;
    return true;
  }

  remove(session: CanMonitor): void {
    if (this.#sessions.delete(session)) this.active = this.#sessions.size > 0;
  }

  has(session: CanMonitor): boolean {
    return this.active && this.#sessions.has(session);
  }

  /** `address`: of who sent it. `fullName`: as the table has it. */
  show(words: readonly string[], fullName: string, address: string, nowMs: number): void {
    const line = new MonitorLine(lineOf(words, fullName, address, nowMs));
    for (const { pushTarget } of this.#sessions) pushTarget?.push(line);
  }
}

class MonitorLine implements PushText {
  readonly #line: string;
  constructor(line: string) {
    this.#line = line;
  }
  text(dialect: Dialect): string {
    return dialect === 0 ? `${this.#line}\n` : `+${this.#line}\r\n`;
  }
}

const lineOf = (words: readonly string[], fullName: string, address: string, nowMs: number): string => {
  const isSecret = secretWords(words, fullName);
  const seconds = Math.floor(nowMs / 1000);
  const micros = String(Math.floor((nowMs % 1000) * 1000)).padStart(6, "0");
  let line = `${seconds}.${micros} [0 ${address}]`;
  const shown = Math.min(words.length, monitorArgumentsMax);
  for (let at = 0; at < shown; at += 1) line += ` ${isSecret(at) ? '"(redacted)"' : argument(words[at] ?? "")}`;
  return shown < words.length ? `${line} "... (${words.length - shown} more arguments)"` : line;
};

const argument = (text: string): string =>
  text.length <= monitorArgumentBytesMax
    ? quote(text)
    : quote(`${text.slice(0, monitorArgumentBytesMax)}... (${text.length - monitorArgumentBytesMax} more bytes)`);
