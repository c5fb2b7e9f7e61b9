/** A real terminal for tests: tmux with a server of its own, of fixed size, without anybody's settings. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { tempDirectory, until } from "../support/processes.ts";

/** Why there is none here; undefined where there is. */
export const tmuxMissing = (): string | undefined =>
  spawnSync("tmux", ["-V"]).status === 0 ? undefined : "tmux is not installed";

export class Tmux {
  readonly #socket: string;
  /** How long the slowest look at the screen took, ms: what the machine adds to any time measured here. */
  slowestMs = 0;

  constructor(t: TestContext, { columns, rows, command }: { columns: number; rows: number; command: string }) {
    this.#socket = join(tempDirectory(t), "tmux");
    t.after(() => this.#run("kill-server"));
    this.#run("-f", "/dev/null", "new-session", "-d", "-x", String(columns), "-y", String(rows), command);
  }

  #run(...given: readonly string[]): string {
    const startedMs = performance.now();
    const { stdout } = spawnSync("tmux", ["-S", this.#socket, ...given], {
      encoding: "utf8",
      env: { ...process.env, TERM: "xterm-256color", LANG: "C.UTF-8", TMUX: "" },
    });
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs);
    return stdout ?? "";
  }

  /** tmux's names of keys: `Enter`, `Escape`, `C-d`, `j`. */
  press(...keys: readonly string[]): void {
    this.#run("send-keys", ...keys);
  }

  type(text: string): void {
    this.#run("send-keys", "-l", "--", text);
  }

  text(): string {
    return this.#run("capture-pane", "-p");
  }

  /** A format of tmux: `#{cursor_flag}`, `#{alternate_on}`. */
  ask(format: string): string {
    return this.#run("display-message", "-p", format).trim();
  }

  resize(columns: number, rows: number): void {
    this.#run("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** Waits until the screen shows it; fails with the screen as it was. Resolves with the milliseconds. */
  async shows(what: RegExp, withinMs = 15_000): Promise<number> {
    const startedMs = performance.now();
    let text = "";
    try {
      await until(String(what), () => what.test((text = this.text())), withinMs);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}; the screen:\n${text}`);
    }
    return performance.now() - startedMs;
  }
}
