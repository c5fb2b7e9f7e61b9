/**
 * From a directory to a replica: the checkpoint's entries, then the log from there on, by the same merge.
 */
import { ByteReader, DecodeFault } from "../protocol/bytes.ts";
import type { PeerName } from "../protocol/words.ts";
import {
  cellPrefix,
  conflictPrefix,
  metaKey,
  originPrefix,
  Replica,
  readVersionVector,
  recordType,
} from "./replica/index.ts";
import { type Storage, StorageFailure } from "./storage/storage.ts";
import { admissionKey, registerPrefix, strongPrefixesKey } from "./strong/strong-store.ts";

export interface RecoveryReport {
  /** Nothing was ever stored here. */
  readonly firstStart: boolean;
  readonly cells: number;
  readonly records: number;
  readonly tookMs: number;
}

/** Takes back what strong keys have in the checkpoint and in the log: first the former, then checkpointRestored(). */
export interface StrongRestorer {
  prefixes(bytes: Uint8Array): void;
  restore(bytes: Uint8Array): void;
  checkpointRestored(): void;
}

const floorPrefix = Buffer.from("f");

/** To recover into and look at what is on disk: it keeps all it finds there and speaks with nobody. */
export const replicaAtRest = (name: PeerName): Replica =>
  new Replica({
    name,
    peers: [name],
    clockSkewMaxMs: 0,
    conflicts: { entriesMax: Number.POSITIVE_INFINITY, bytesMax: Number.POSITIVE_INFINITY },
    recentBytesMax: 0,
  });

export const recover = async (
  storage: Storage,
  replica: Replica,
  onProgress: (words: string) => void,
  strong?: StrongRestorer,
): Promise<RecoveryReport> => {
  const startedMs = performance.now();
  const { log, checkpoint } = storage;
  const progress = everyTwoSeconds(onProgress);
  let cells = 0;
  let records = 0;
  try {
    for (const prefix of [originPrefix, floorPrefix, metaKey, cellPrefix, conflictPrefix]) {
      for await (const entries of checkpoint.entries(prefix)) {
        for (const [key, value] of entries) {
          try {
            replica.restoreEntry(key, value);
          } catch (error) {
            throw located(error, `checkpoint entry ${quoted(key)}`);
          }
        }
        if (prefix === cellPrefix) {
          progress(() => `loading the checkpoint: ${replica.state.map.cellCount.toLocaleString("en")} cells`);
        }
      }
    }
    cells = replica.state.map.cellCount;
    if (strong !== undefined) {
      for await (const entries of checkpoint.entries(strongPrefixesKey)) {
        for (const [, value] of entries) strong.prefixes(value);
      }
      for (const prefix of [admissionKey, registerPrefix]) {
        for await (const entries of checkpoint.entries(prefix)) for (const [, value] of entries) strong.restore(value);
      }
      strong.checkpointRestored();
    }
    const from = replica.state.nextLsn;
    if (from < log.firstLsn) {
      throw new StorageFailure(
        "CORRUPT",
        `the checkpoint needs the log from record ${from} on, but the log begins at ${log.firstLsn}; restore a backup, or empty the directory and let this peer catch up from the others`,
      );
    }
    replica.restoreSegments(
      log.segments
        .filter((segment) => segment.firstLsn < from)
        .map((segment) => ({
          lsn: segment.firstLsn,
          vv: segment.note.length === 0 ? [] : readVersionVector(new ByteReader(segment.note), replica.state.origins),
        })),
    );
    if (from < log.nextLsn) {
      for await (const batch of storage.replay(from)) {
        for (const record of batch) {
          try {
            replica.replay(record);
            if (record.type === recordType.registers) strong?.restore(record.bytes);
            if (record.type === recordType.strongPrefixes) strong?.prefixes(record.bytes);
          } catch (error) {
            throw located(error, `log record ${record.lsn} of type ${record.type}`);
          }
        }
        records += batch.length;
        progress(() => `replaying the log: ${records.toLocaleString("en")} records`);
      }
    }
  } catch (error) {
    if (!(error instanceof DecodeFault)) throw error;
    throw new StorageFailure("CORRUPT", `what is stored cannot be read: ${error.message}`, { cause: error });
  }
  const firstStart = replica.state.nextLsn === 1 && cells === 0;
  replica.recovered(log.firstLsn);
  return { firstStart, cells, records, tookMs: performance.now() - startedMs };
};

/** The same fault, saying where. */
const located = (error: unknown, where: string): unknown =>
  error instanceof DecodeFault ? new DecodeFault(`${where}: ${error.message}`) : error;

const quoted = (key: Uint8Array): string => JSON.stringify(Buffer.from(key).toString("latin1").slice(0, 100));

const everyTwoSeconds = (report: (words: string) => void): ((words: () => string) => void) => {
  let lastMs = performance.now();
  return (words) => {
    if (performance.now() - lastMs < 2000) return;
    lastMs = performance.now();
    report(words());
  };
};
