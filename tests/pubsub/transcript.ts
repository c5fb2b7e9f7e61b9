/**
 * Several raw connections to one server, and what each of them receives, step by step: for comparing servers byte for byte.
 *
 * After every step each connection sends a PING with a word of its own; what comes before its echo belongs to the step. So
 * nothing waits for a time, and a message too many is seen in the step that made it.
 */
import { connect, type Socket } from "node:net";
import { encodeCommand } from "../support/redis-process.ts";

class Side {
  readonly #socket: Socket;
  #received = "";
  #closed = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      this.#received += chunk;
      this.#wake();
    });
    socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
    socket.on("error", () => {});
  }

  static open(port: number): Promise<Side> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Side(socket)));
    });
  }

  send(commands: readonly (readonly string[])[]): void {
    if (!this.#closed) this.#socket.write(commands.map(encodeCommand).join(""), "latin1");
  }

  /** All that came before the echo of `mark`, or before the end. */
  async until(mark: string): Promise<string> {
    const echo = `$${mark.length}\r\n${mark}\r\n`;
    // In subscribe mode the echo is the second part of an array.
    const forms = [`*2\r\n$4\r\npong\r\n${echo}`, echo];
    const deadline = performance.now() + 10_000;
    while (!this.#received.includes(echo)) {
      if (this.#closed) return `${this.#received}(closed)`;
      if (performance.now() > deadline) throw new Error(`no echo, but ${JSON.stringify(this.#received.slice(0, 500))}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, 1000).unref();
      });
    }
    const form = forms.find((each) => this.#received.includes(each)) ?? echo;
    const at = this.#received.indexOf(form);
    const before = this.#received.slice(0, at);
    this.#received = this.#received.slice(at + form.length);
    return before;
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** What one side sends in one go. */
export interface Step {
  readonly side: string;
  readonly commands: readonly (readonly string[])[];
}

export const transcriptOf = async (port: number, steps: readonly Step[]): Promise<readonly string[]> => {
  const sides = new Map<string, Side>();
  for (const { side } of steps) if (!sides.has(side)) sides.set(side, await Side.open(port));
  const lines: string[] = [];
  try {
    for (const [step, { side: name, commands }] of steps.entries()) {
      lines.push(`${step} ${name}> ${commands.map((words) => words.join(" ")).join("; ")}`);
      sides.get(name)?.send(commands);
      // The one that acts first: what it did has then happened for all.
      const order = [...sides].sort(([one], [other]) => Number(other === name) - Number(one === name));
      for (const [other, side] of order) {
        side.send([["PING", `${step}-${other}`]]);
        const received = await side.until(`${step}-${other}`);
        if (received !== "") lines.push(`${step} ${other}< ${JSON.stringify(received)}`);
      }
    }
  } finally {
    for (const side of sides.values()) side.close();
  }
  return lines;
};
