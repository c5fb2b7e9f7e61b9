import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { PeerName } from "../../protocol/words.ts";
import { parsePeerName } from "../../protocol/words.ts";
import type { LogOwner } from "../../server/storage/log-recovery.ts";
import type { Log, Storage, StoredRecord } from "../../server/storage/storage.ts";

export const peerNamed = (text: string): PeerName => {
  const name = parsePeerName(text);
  if (name === undefined) throw new Error(`not a peer name: ${text}`);
  return name;
};

export const owner: LogOwner = { peerName: "b", storageId: 0x0123_4567_89ab_cdefn };

export const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

/** Appends each text as a record of its own, in one call. */
export const appendTexts = (log: Log, ...texts: string[]): void =>
  log.append(texts.map((text) => ({ type: 1, bytes: bytesOf(text) })));

export const replayed = async (storage: Pick<Storage, "replay">, from = 1): Promise<StoredRecord[]> => {
  const records: StoredRecord[] = [];
  for await (const batch of storage.replay(from)) records.push(...batch);
  return records;
};

export const replayedTexts = async (storage: Pick<Storage, "replay">, from = 1): Promise<string[]> =>
  (await replayed(storage, from)).map((record) => textOf(record.bytes));

const closables = new WeakMap<TestContext, { close(): Promise<void> }[]>();

/** A directory for the test; what `closeAfter` was told of is closed before it goes. */
export const storageDirectory = (t: TestContext): string => {
  const directory = mkdtempSync(join(tmpdir(), "chorus-storage-"));
  t.after(async () => {
    for (const closable of closables.get(t) ?? []) await closable.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
};

export const closeAfter = (t: TestContext, closable: { close(): Promise<void> }): void => {
  closables.set(t, [...(closables.get(t) ?? []), closable]);
};
