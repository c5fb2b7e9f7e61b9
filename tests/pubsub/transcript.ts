/**
 * Several raw connections to one server, and what each of them receives, step by step: for comparing servers byte for byte.
 *
 * After every step each connection sends a PING with a word of its own; what comes before its echo belongs to the step. So
 * nothing waits for a time, and a message too many is seen in the step that made it.
 */
import { RawConnection } from "../support/redis-process.ts";

/** All that came before the echo of `mark`, or before the end. */
const receivedUntil = async (side: RawConnection, mark: string): Promise<string> => {
  const echo = `$${mark.length}\r\n${mark}\r\n`;
  // In subscribe mode the echo is the second part of an array.
  const forms = [`*2\r\n$4\r\npong\r\n${echo}`, echo];
  const deadline = performance.now() + 10_000;
  while (!side.received.includes(echo)) {
    if (side.closed) return `${side.received}(closed)`;
    if (performance.now() > deadline) throw new Error(`no echo, but ${JSON.stringify(side.received.slice(0, 500))}`);
    await side.more();
  }
  const form = forms.find((each) => side.received.includes(each)) ?? echo;
  const at = side.received.indexOf(form);
  const before = side.received.slice(0, at);
  side.received = side.received.slice(at + form.length);
  return before;
};

/** What one side sends in one go. */
export interface Step {
  readonly side: string;
  readonly commands: readonly (readonly string[])[];
}

export const transcriptOf = async (port: number, steps: readonly Step[]): Promise<readonly string[]> => {
  const sides = new Map<string, RawConnection>();
  for (const { side } of steps) if (!sides.has(side)) sides.set(side, await RawConnection.open(port));
  const lines: string[] = [];
  try {
    for (const [step, { side: name, commands }] of steps.entries()) {
      lines.push(`${step} ${name}> ${commands.map((words) => words.join(" ")).join("; ")}`);
      sides.get(name)?.send(commands);
      // The one that acts first: what it did has then happened for all.
      const order = [...sides].sort(([one], [other]) => Number(other === name) - Number(one === name));
      for (const [other, side] of order) {
        side.send([["PING", `${step}-${other}`]]);
        const received = await receivedUntil(side, `${step}-${other}`);
        if (received !== "") lines.push(`${step} ${other}< ${JSON.stringify(received)}`);
      }
    }
  } finally {
    for (const side of sides.values()) side.close();
  }
  return lines;
};
