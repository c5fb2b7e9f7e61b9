/**
 * Bytes to standard output: as they are when it is a file or a pipe; on a terminal control characters are shown, never
 * sent, since keys and values come from strangers.
 */
import { once } from "node:events";
import { bytesToWire, type WireText } from "../../../protocol/wire-text.ts";
import { visible } from "../table.ts";

/** Waits for a slow reader: a scan of everything does not fill memory. */
export const write = async (chunk: string | Uint8Array): Promise<void> => {
  if (!process.stdout.write(chunk)) await once(process.stdout, "drain");
};

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** For people: one line, whatever is in it. */
export const shown = (bytes: Uint8Array): string => visible(decoder.decode(bytes));

/** A value, or a key, alone. */
export const writeBytes = async (bytes: Uint8Array, end = ""): Promise<void> => {
  if (process.stdout.isTTY) return await write(`${shown(bytes)}\n`);
  await write(end === "" ? bytes : Buffer.concat([bytes, Buffer.from(end)]));
};

export const writeJson = async (value: unknown): Promise<void> => await write(`${JSON.stringify(value)}\n`);

export const jsonBytes = (bytes: Uint8Array | null | undefined): WireText | null | undefined =>
  bytes === null || bytes === undefined ? bytes : bytesToWire(bytes);
