/**
 * The law of a backup: whatever is written, heard, purged and expires between its slices, what is restored from it shows
 * exactly the state at the vector it names.
 *
 * A reader hears random histories of three writers and writes too; a scan goes on between, cell by cell. What the scan and
 * the log gave is put through the format, restored, recovered, and compared with what the reader held when the scan ended.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkFrameOps, parseFrame } from "../../protocol/frames.ts";
import type { PeerName } from "../../protocol/words.ts";
import { parsePeerName } from "../../protocol/words.ts";
import { decodeCut, decodeHeader, encodeCut, encodeHeader } from "../../server/backup/format.ts";
import type { Entry } from "../../server/replica/checkpoint.ts";
import {
  type BackupScan,
  encodeConflict,
  Replica,
  RestoredCheckpoint,
  recordType,
} from "../../server/replica/index.ts";
import { applyFrame } from "../../server/replica/merge.ts";
import { at, covers, setAt } from "../../server/replica/version-vector.ts";
import { keys, runHistory, type Step, steps } from "./history.ts";

const names = ["a", "b", "c", "reader"].map((name) => parsePeerName(name) as PeerName);

const newReplica = (name: string): Replica =>
  new Replica({
    name: parsePeerName(name) as PeerName,
    peers: names,
    clockSkewMaxMs: 5000,
    conflicts: { entriesMax: 1000, bytesMax: 1 << 24 },
    recentBytesMax: 0,
  });

/** As incoming.ts does it; false: not deliverable yet, or known. */
const deliver = ({ state }: Replica, bytes: Uint8Array): boolean => {
  const frame = parseFrame(bytes);
  const origin = state.origins.number(frame.origin);
  if (at(state.vv, origin) !== frame.first - 1 || !covers(state.vv, state.vector(frame.contextDelta))) return false;
  state.seal();
  const context = state.contextOf(origin);
  for (const [other, seq] of frame.contextDelta) setAt(context, state.origins.number(other), seq);
  state.clock.hear(checkFrameOps(frame));
  state.appendRecord(recordType.frame, frame.bytes);
  applyFrame(state, frame, origin, context);
  setAt(state.vv, origin, frame.last);
  return true;
};

/** All that is held, by key, with origins by their names. */
const cellsOf = ({ state }: Replica): Map<string, string> => {
  const found = new Map<string, string>();
  const id = (origin: number): string => state.origins.id(origin);
  state.map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
    const { value, stamp, origin, seq, expiresAtMs, observed, totals } = state.map.cellAt(ref);
    const base = value === undefined ? [] : [value, stamp, id(origin), seq, expiresAtMs];
    const seen = observed.map((each) => [id(each.origin), each.first, each.seq, String(each.sum)].join());
    const summed = totals.map((each) =>
      [id(each.origin), each.first, each.seq, String(each.sum), each.expiresAtMs].join(),
    );
    found.set(state.map.keyAt(ref), JSON.stringify([base, seen.sort(), summed.sort()]));
    return false;
  });
  return found;
};

const visible = (replica: Replica, nowMs: number): Record<string, string | undefined> => {
  replica.keyspace.begin(nowMs);
  return Object.fromEntries(keys.map((key) => [key, replica.keyspace.get(key)]));
};

const recovered = (
  name: string,
  entries: readonly Entry[],
  records: readonly { type: number; bytes: Uint8Array }[],
): Replica => {
  const replica = newReplica(name);
  const stored = new Map(entries.map(([key, value]) => [Buffer.from(key).toString("latin1"), value as Uint8Array]));
  for (const prefix of ["o", "f", "m", "c", "j"]) {
    for (const key of [...stored.keys()].filter((each) => each.startsWith(prefix)).sort()) {
      replica.restoreEntry(Buffer.from(key, "latin1"), stored.get(key) as Uint8Array);
    }
  }
  assert.equal(replica.state.nextLsn, 2, "the first record, the gate's, is behind the checkpoint");
  for (const [index, record] of records.entries()) if (index > 0) replica.replay({ lsn: index + 1, ...record });
  replica.recovered(1);
  return replica;
};

interface Action {
  readonly what: "hear" | "set" | "incr" | "delete" | "slice" | "purge" | "wait";
  readonly key: number;
  readonly draw: number;
}

const action: fc.Arbitrary<Action> = fc.record({
  what: fc.constantFrom("hear", "hear", "hear", "set", "incr", "delete", "slice", "slice", "purge", "wait"),
  key: fc.nat(keys.length - 1),
  draw: fc.nat(1000),
});

interface Seen {
  frames: number;
  conflicts: number;
  purges: number;
  held: number;
}

const check = (script: readonly Step[], actions: readonly Action[], seen: Seen): void => {
  const history = runHistory(script);
  const waiting = [...history.frames];
  const replica = newReplica("reader");
  const { state } = replica;
  let nowMs = history.endMs;
  replica.start({ nowMs, elapsedMs: 1, random: "0000", bootstrap: true, firstStart: true });
  state.clock.ceiling = Number.MAX_SAFE_INTEGER;
  const log: { lsn: number; type: number; bytes: Uint8Array }[] = [];
  let scan: BackupScan | undefined;
  const cells: Buffer[] = [];
  let expected:
    | { cells: Map<string, string>; digest: string; shown: unknown; vv: unknown; nowMs: number; journal: string[] }
    | undefined;
  const slice = (): void => {
    scan ??= replica.beginBackup();
    if (scan.end !== undefined) return;
    const { bytes, count } = scan.slice(1);
    if (count > 0) cells.push(bytes);
    if (scan.end === undefined) return;
    expected = {
      cells: cellsOf(replica),
      digest: state.map.digest.text,
      shown: visible(replica, nowMs),
      vv: new Map(state.wire(state.vv)),
      nowMs,
      journal: replica
        .conflicts(undefined)
        .map(({ id }) => id)
        .sort(),
    };
  };
  const act = ({ what, key, draw }: Action): void => {
    replica.setTime(nowMs, 1);
    replica.keyspace.begin(nowMs);
    const name = keys[key] as string;
    if (what === "hear") {
      const index = waiting.findIndex((frame) => deliver(replica, frame));
      if (index >= 0) waiting.splice(index, 1);
    } else if (what === "set") replica.keyspace.set(name, `v${draw}`, draw % 3 === 0 ? nowMs + 30 : 0);
    else if (what === "incr") replica.keyspace.increment(name, draw);
    else if (what === "delete") replica.keyspace.delete(name);
    else if (what === "wait") nowMs += 20_000;
    else if (what === "purge") {
      // Stable is what all hold, and then nobody has a write left that does not know of it.
      if (waiting.length > 0) return;
      state.seal();
      state.purgeable = [...state.vv];
      state.map.advanceHorizon(nowMs);
      state.map.settleHorizon(100);
      const before = state.counts["purged"] ?? 0;
      if (replica.purger.begin()) replica.purger.slice(100);
      seen.purges += (state.counts["purged"] ?? 0) - before;
      if (scan !== undefined && scan.end === undefined && state.map.candidateCount > 0) seen.held += 1;
    } else slice();
    log.push(...replica.ready().append);
  };
  for (const each of actions) act(each);
  while (expected === undefined) act({ what: "slice", key: 0, draw: 0 });
  assert(scan?.end !== undefined);
  // What comes later is not in it.
  for (const what of ["hear", "set", "incr"] as const) act({ what, key: 0, draw: 7 });

  const { cut, lsn, conflicts } = scan.end;
  const header = decodeHeader(
    encodeHeader({
      cluster: "c",
      peer: "reader",
      incarnation: state.incarnation,
      version: "1",
      begunAtMs: 1,
      start: scan.start,
    }),
  );
  const checkpoint = new RestoredCheckpoint(parsePeerName("b") as PeerName, true, header.start);
  const records = [checkpoint.firstRecord()];
  const entries = cells.flatMap((bytes) => checkpoint.addCells(bytes).entries);
  const from = scan.logCursor;
  const frames = log.filter((record) => record.lsn >= from && record.lsn < lsn && record.type === recordType.frame);
  records.push(...checkpoint.addFrames(Buffer.concat(frames.map(({ bytes }) => bytes))));
  entries.push(...conflicts.map((conflict) => checkpoint.addConflict(encodeConflict(conflict))));
  entries.push(...checkpoint.end(decodeCut(encodeCut(cut)), 2));
  const restored = recovered("b", entries, records);

  assert.deepEqual(new Map(restored.state.wire(restored.state.vv)), expected.vv);
  assert.deepEqual(visible(restored, expected.nowMs), expected.shown);
  assert.equal(restored.state.map.digest.text, expected.digest);
  assert.deepEqual(cellsOf(restored), expected.cells);
  restored.state.map.checkInvariants();
  assert(restored.state.gated);
  const journal = restored.conflicts(undefined).map(({ id }) => id);
  for (const id of expected.journal) assert(journal.includes(id), `conflict ${id}`);
  assert.deepEqual(new Map(restored.state.wire(restored.state.floor)), new Map(cut.floor));
  seen.frames += frames.length;
  seen.conflicts += expected.journal.length;
};

test("what is restored is exactly the state at the cut's vector, whatever happened between the slices", () => {
  const seen: Seen = { frames: 0, conflicts: 0, purges: 0, held: 0 };
  fc.assert(
    fc.property(steps, fc.array(action, { minLength: 5, maxLength: 60 }), (script, actions) =>
      check(script, actions, seen),
    ),
    { numRuns: 1500, includeErrorInReport: true },
  );
  // Else nothing was tested.
  for (const [what, count] of Object.entries(seen)) assert(count > 50, `${what}: ${count}`);
});

test("a write that came during the scan, and lost against a tombstone purged since, does not come back", () => {
  const step = { amount: 0, expires: false, more: false };
  const acts: readonly (readonly [Action["what"], number])[] = [
    ["set", 0],
    ["set", 1],
    ["delete", 1],
    // Takes the other key's cell; the deleted one's is still to come.
    ["slice", 0],
    ["hear", 0],
    ["purge", 0],
  ];
  const seen: Seen = { frames: 0, conflicts: 0, purges: 0, held: 0 };
  check(
    [{ ...step, who: 0, what: "set", key: 1 }],
    acts.map(([what, key]) => ({ what, key, draw: 1 })),
    seen,
  );
  assert.deepEqual([seen.frames, seen.held], [1, 1]);
});
