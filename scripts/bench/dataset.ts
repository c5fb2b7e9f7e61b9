/**
 * The keys and values of all figures. Keys are redis-benchmark's own, `key:` and twelve digits (16 bytes), so what is
 * loaded here is what it reads. Values are 64 bytes, all different, and no two of a key alike.
 */
import { encodeCommand, RespConnection } from "./resp-connection.ts";
import { nowAndThen } from "./wait.ts";

export const valueBytes = 64;
const batchCommands = 500;
const batchesInFlightMax = 8;

export const keyFor = (index: number): string => `key:${String(index).padStart(12, "0")}`;

/** Hex that repeats late: neither a compressor nor a table of equal strings gets anything out of it. */
const pool = ((): string => {
  let text = "";
  for (let word = 1, i = 0; i < 8192; i++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    text += word.toString(16).padStart(8, "0");
  }
  return text;
})();

/** `generation` tells the writes of one key apart. */
export const valueFor = (index: number, generation: number): string => {
  const head = `${index.toString(36)}.${generation.toString(36)}.`;
  const from = (Math.imul(index, 2_654_435_761) >>> 16) % (pool.length - valueBytes);
  return head + pool.slice(from, from + valueBytes - head.length);
};

/** Writes keys 0 to count - 1 once each, in order, pipelined on one connection. Resolves when all are answered. */
export const writeKeys = async (
  port: number,
  { count, generation, what }: { readonly count: number; readonly generation: number; readonly what: string },
): Promise<void> => {
  const talk = nowAndThen();
  await pipelined(port, Math.ceil(count / batchCommands), (batch) => {
    const first = batch * batchCommands;
    const end = Math.min(count, first + batchCommands);
    talk(() => `  ${what}: ${first.toLocaleString("en")} of ${count.toLocaleString("en")} keys written`);
    let text = "";
    for (let index = first; index < end; index++)
      text += encodeCommand("SET", keyFor(index), valueFor(index, generation));
    return { text, commands: end - first };
  });
};

const ballastBytes = 64 * 1024;
export const ballastKey = "bench:ballast";

/** Makes a server's log grow by writing one key of 64 KiB, until `enough`, asked every MiB, or `bytesMax`. */
export const writeBallast = async (
  port: number,
  bytesMax: number,
  enough: () => Promise<boolean> = () => Promise.resolve(false),
): Promise<void> => {
  const perStep = 16;
  let number = 0;
  for (let written = 0; written < bytesMax && !(await enough()); written += perStep * ballastBytes) {
    await pipelined(port, perStep / 4, () => {
      let text = "";
      for (let i = 0; i < 4; i++)
        text += encodeCommand("SET", ballastKey, valueFor(number++, 0).repeat(ballastBytes / valueBytes));
      return { text, commands: 4 };
    });
  }
};

const pipelined = async (
  port: number,
  batches: number,
  make: (batch: number) => { readonly text: string; readonly commands: number },
): Promise<void> => {
  const connection = await RespConnection.open(port);
  try {
    await new Promise<void>((resolve, reject) => {
      let sent = 0;
      let done = 0;
      const next = (): void => {
        while (sent < batches && sent - done < batchesInFlightMax) {
          const { text, commands } = make(sent++);
          connection.send(text, commands, onDone);
        }
      };
      const onDone = (failure?: Error): void => {
        if (failure !== undefined) reject(failure);
        else if (++done === batches) resolve();
        else next();
      };
      if (batches === 0) resolve();
      else next();
    });
  } finally {
    connection.close();
  }
};
