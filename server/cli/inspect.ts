/**
 * `chorus inspect DIR`: what a stopped peer's directory holds, read without changing a byte of it.
 *
 * Opening a store writes to it (LevelDB compacts, the log cuts a torn tail off), so a copy is opened and thrown away, and
 * what is shown is what the peer itself would recover to.
 *
 * The report is plain data; inspect-text.ts prints it. Keys and values are latin1 strings, one character a byte.
 */
import { cp, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { decodeRegisterValue } from "../../protocol/register-value.ts";
import { type PeerName, parsePeerName } from "../../protocol/words.ts";
import { recover, replicaAtRest, type StrongRestorer } from "../recovery.ts";
import { type Ballot, Registers } from "../registers/index.ts";
import { isExpired, recordType, stampToMs } from "../replica/index.ts";
import { type FileStorage, openFileStorage } from "../storage/open.ts";
import { decodePrefixes } from "../strong/strong-store.ts";
import { CommandFailure, failureText } from "./failure.ts";

export interface InspectReport {
  readonly format: 1;
  readonly directory: string;
  readonly peer: {
    readonly name: string;
    /** Of its last run. */
    readonly incarnation: string;
  };
  readonly gated: boolean;
  readonly versionVector: Readonly<Record<string, number>>;
  readonly checkpoint: { readonly lsn: number; readonly cells: number; readonly bytes: number };
  readonly log: {
    readonly firstLsn: number;
    readonly nextLsn: number;
    readonly bytes: number;
    readonly segments: readonly {
      readonly file: string;
      readonly firstLsn: number;
      readonly records: number;
      readonly bytes: number;
    }[];
    /** What recovery would cut or refuse; empty when all records are whole. */
    readonly damage: readonly string[];
  };
  readonly keys: { readonly live: number; readonly tombstones: number; readonly expired: number };
  readonly conflicts: number;
  readonly strong: {
    /** Empty: the peer was never started. */
    readonly prefixes: readonly string[];
    /** Whether this disk answers for registers; one that never did, or was rolled back, does not. */
    readonly admitted: boolean;
    readonly live: number;
    /** Not purged yet. */
    readonly deleted: number;
    /** In byte order, as many as were asked for. */
    readonly keys: readonly InspectStrongKey[];
    readonly truncated: boolean;
  };
  /** Cells in byte order of their keys, as many as were asked for. */
  readonly cells: readonly InspectCell[];
  /** There are more cells than these. */
  readonly truncated: boolean;
}

export interface InspectCell {
  readonly key: string;
  readonly state: "live" | "deleted" | "expired";
  /** undefined: deleted. */
  readonly value: string | undefined;
  readonly dot: string;
  /** Unix ms of the write's stamp; 0 for a counter that only was incremented. */
  readonly stampMs: number;
  /** Unix ms; 0 for none. */
  readonly expiresAtMs: number;
}

/** A register as this disk accepted it. A majority may have accepted something newer. */
export interface InspectStrongKey {
  readonly key: string;
  readonly state: "live" | "deleted";
  readonly value: string | undefined;
  readonly version: number;
  /** `counter@origin`. */
  readonly ballot: string;
  /** As it was set, ms; 0 for none. How much is left nobody can tell from a disk. */
  readonly ttlMs: number;
  /** Operation ids it remembers. */
  readonly operations: number;
  /** Highest fencing token seen, per lock. */
  readonly fences: Readonly<Record<string, number>>;
}

export interface InspectQuery {
  /** Only keys that start with this; empty for all. */
  readonly prefix: string;
  readonly cellsMax: number;
}

/** Rejects with a CommandFailure: no such directory, in use by a running peer, damaged. */
export const loadInspectReport = async (directory: string, query: InspectQuery): Promise<InspectReport> => {
  const name = await loadPeerName(directory);
  const holder = await runningHolder(directory);
  if (holder !== undefined) {
    throw new CommandFailure(
      `${directory} is in use by process ${holder}: stop that peer first (chorus cluster stop ${name})`,
    );
  }
  const copy = await mkdtemp(join(tmpdir(), "chorus-inspect-"));
  let storage: FileStorage | undefined;
  try {
    await cp(directory, copy, { recursive: true, errorOnExist: false });
    storage = await openFileStorage({ dir: copy, peerName: name });
    return await report(directory, name, storage, query);
  } catch (error) {
    // Messages name the copy; the person knows the original.
    throw new CommandFailure(failureText(error).replaceAll(copy, directory), 1, { cause: error });
  } finally {
    await storage?.close().catch(() => undefined);
    await rm(copy, { recursive: true, force: true });
  }
};

const report = async (
  directory: string,
  name: PeerName,
  storage: FileStorage,
  query: InspectQuery,
): Promise<InspectReport> => {
  const { log } = storage;
  const replica = replicaAtRest(name);
  let checkpointCells = 0;
  const never = { random: () => 0, deadKeptMs: 0, choresMs: 0, ceilingStep: 0 };
  const registers = new Registers({ name, peers: [name], ...never });
  let prefixes: readonly string[] = [];
  const strong: StrongRestorer = {
    prefixes: (bytes) => {
      prefixes = decodePrefixes(bytes);
    },
    restore: (bytes) => registers.restore(bytes),
    checkpointRestored: () => registers.checkpointRestored(),
  };
  const recovery = await recover(storage, replica, (words) => process.stderr.write(`${words}\n`), strong);
  checkpointCells = recovery.cells;
  let incarnation = "";
  for await (const batch of storage.replay(log.firstLsn)) {
    for (const record of batch)
      if (record.type === recordType.start) incarnation = Buffer.from(record.bytes).toString();
  }
  const { state } = replica;
  const { map } = state;
  for (let origin = 0; origin < state.origins.size; origin++) {
    const known = state.origins.incarnations[origin] ?? "";
    if (state.origins.names[origin] === name && known > incarnation) incarnation = known;
  }
  const nowMs = Date.now();
  const keys = { live: 0, tombstones: 0, expired: 0 };
  const cells: InspectCell[] = [];
  replica.keyspace.begin(nowMs);
  map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
    const key = map.keyAt(ref);
    const cell = map.cellAt(ref);
    const value = replica.keyspace.get(key);
    const expired = typeof cell.value === "string" && isExpired(cell.expiresAtMs, nowMs);
    const cellState = value !== undefined ? "live" : expired ? "expired" : "deleted";
    keys[cellState === "live" ? "live" : expired ? "expired" : "tombstones"]++;
    if (!key.startsWith(query.prefix)) return false;
    const newest = cell.value === undefined ? cell.totals.at(-1) : cell;
    cells.push({
      key,
      state: cellState,
      value: value ?? (expired ? (cell.value ?? undefined) : undefined),
      dot: newest === undefined ? "" : state.dotText(newest.origin, newest.seq),
      stampMs: cell.value === undefined ? 0 : stampToMs(cell.stamp),
      expiresAtMs: cell.expiresAtMs,
    });
    return false;
  });
  cells.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return {
    format: 1,
    directory,
    peer: { name, incarnation },
    gated: state.gated,
    versionVector: Object.fromEntries(state.wire(state.vv)),
    checkpoint: { lsn: replica.checkpointer.lsn, cells: checkpointCells, bytes: await storage.checkpoint.bytes() },
    log: {
      firstLsn: log.firstLsn,
      nextLsn: log.nextLsn,
      bytes: log.bytes,
      segments: log.segmentFiles().map((segment, index, all) => ({
        file: basename(segment.path),
        firstLsn: segment.firstLsn,
        records: (all[index + 1]?.firstLsn ?? log.nextLsn) - segment.firstLsn,
        bytes: segment.bytes,
      })),
      damage:
        log.torn === undefined
          ? []
          : [
              `a torn tail of ${log.torn.bytes} bytes behind record ${log.torn.lsn - 1}: never acknowledged as synced, the peer cuts it off`,
            ],
    },
    keys,
    conflicts: state.journal.count,
    strong: { prefixes, admitted: registers.acceptor.admitted, ...strongKeys(registers, query) },
    cells: cells.slice(0, query.cellsMax),
    truncated: cells.length > query.cellsMax,
  };
};

const strongKeys = (
  { acceptor }: Registers,
  { prefix, cellsMax }: InspectQuery,
): Pick<InspectReport["strong"], "live" | "deleted" | "keys" | "truncated"> => {
  const keys: InspectStrongKey[] = [];
  for (const [key, { accepted, value }] of acceptor.entries()) {
    if (!key.startsWith(prefix)) continue;
    const held = decodeRegisterValue(value);
    keys.push({
      key,
      state: held.bytes === undefined ? "deleted" : "live",
      value: held.bytes,
      version: held.version,
      ballot: ballotText(accepted),
      ttlMs: held.lease?.ttlMs ?? 0,
      operations: held.ops.length,
      fences: Object.fromEntries(held.fences.map(({ lock, token }) => [lock, token])),
    });
  }
  keys.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const live = acceptor.liveCount;
  return { live, deleted: acceptor.size - live, keys: keys.slice(0, cellsMax), truncated: keys.length > cellsMax };
};

const ballotText = ({ counter, origin }: Ballot): string => `${counter}@${origin}`;

const loadPeerName = async (directory: string): Promise<PeerName> => {
  let text: string;
  try {
    text = await readFile(join(directory, "peer.json"), "utf8");
  } catch (error) {
    throw new CommandFailure(`${directory} is not a peer's data directory: it has no peer.json`, 1, { cause: error });
  }
  const name = parsePeerName(String((JSON.parse(text) as { peerName?: unknown }).peerName));
  if (name === undefined) throw new CommandFailure(`${directory}/peer.json names no peer`);
  return name;
};

/** The process that has the directory open, where that can be told (Linux); else undefined. */
const runningHolder = async (directory: string): Promise<number | undefined> => {
  try {
    const { pid } = JSON.parse(await readFile(join(directory, "holder.json"), "utf8")) as { pid?: unknown };
    if (typeof pid !== "number") return undefined;
    process.kill(pid, 0);
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
      if (target.endsWith("/checkpoint/LOCK")) return pid;
    }
    return undefined;
  } catch {
    return undefined;
  }
};
