/** The invariants: what must hold of every peer at every moment. */
import { ByteWriter } from "../../protocol/bytes.ts";
import { writeCell } from "../../server/replica/cell.ts";
import { CellMap } from "../../server/replica/cell-map.ts";
import type { Conflict } from "../../server/replica/conflicts.ts";
import { stampToMs } from "../../server/replica/hybrid-clock.ts";
import { knows, type Op, seqAt, violate } from "./oracle.ts";
import type { SimPeer } from "./peer.ts";

/**
 * Looks at what a call changed: the vector never goes back, names only ops that were made, stands at the end of a command
 * or EXEC, and the keys of the ops it newly names show exactly what the oracle says.
 */
export const observe = (peer: SimPeer, when: string): void => {
  const { replica, world } = peer;
  if (replica === undefined) return;
  const { vv, origins } = replica.state;
  const { history } = world;
  let touched: Set<string> | undefined;
  for (let number = 0; number < vv.length; number++) {
    const now = vv[number] as number;
    const before = peer.seen[number] ?? 0;
    if (now === before) continue;
    while (peer.toGlobal.length <= number) peer.toGlobal.push(history.origin(origins.id(peer.toGlobal.length)));
    const origin = peer.toGlobal[number] as number;
    if (now < before) violate(`${when}: ${peer.name} forgets ops of ${history.ids[origin]}: ${before} to ${now}`);
    const ops = history.opsOf[origin] as Op[];
    if (now > ops.length)
      violate(`${when}: ${peer.name} holds ${now} ops of ${history.ids[origin]}, which made ${ops.length}`);
    if (!(ops[now - 1] as Op).endsExec) violate(`${when}: ${peer.name} shows half an EXEC of ${history.ids[origin]}`);
    touched ??= new Set();
    for (let seq = before; seq < now; seq++) touched.add((ops[seq] as Op).key);
    while (peer.seen.length <= number) peer.seen.push(0);
    peer.seen[number] = now;
    while (peer.vv.length <= origin) peer.vv.push(0);
    peer.vv[origin] = now;
  }
  if (touched !== undefined) for (const key of touched) checkKey(peer, key, when);
};

/** state(peer) is the fold of exactly the ops its vector names. */
const checkKey = (peer: SimPeer, key: string, when: string): void => {
  const { replica, world } = peer;
  if (replica === undefined) return;
  const { keyspace, state } = replica;
  const horizonMs = state.map.horizonMs;
  const show = (ms: number): void => {
    keyspace.begin(ms);
    const shown = keyspace.get(key);
    const wanted = world.history.visible(key, peer.vv, ms);
    if (shown !== wanted) violate(`${when}: ${peer.name} shows ${key} = ${shown}, its vector says ${wanted}`);
    if (keyspace.has(key) !== (shown !== undefined)) violate(`${when}: ${peer.name} has and has not ${key}`);
    const version = keyspace.version(key);
    if ((version === undefined) !== (shown === undefined)) violate(`${when}: ${peer.name} shows ${key} at ${version}`);
    if (version === undefined || shown === undefined) return;
    const before = world.shownByVersion.get(`${key} ${version}`);
    if (before === undefined) world.shownByVersion.set(`${key} ${version}`, shown);
    else if (before !== shown) violate(`${when}: ${peer.name} shows ${key} = ${shown} at ${version}, before ${before}`);
  };
  show(horizonMs);
  if (world.params.hasExpiry && peer.wallMs > horizonMs) show(peer.wallMs);
};

/** Nothing is taken for expired that some running peer's clock has not passed yet: a client there may still see it. */
const checkHorizon = (peer: SimPeer, when: string): void => {
  const horizonMs = peer.replica?.state.map.horizonMs ?? 0;
  for (const other of peer.world.peers) {
    if (other.replica === undefined || other.everLostDisk || other.replica.state.self < 0) continue;
    const otherMs = stampToMs(other.replica.state.clock.last);
    if (horizonMs > otherMs)
      violate(`${when}: the horizon of ${peer.name} is ${horizonMs - otherMs} ms ahead of ${other.name}`);
  }
};

export const checkAll = (peer: SimPeer, when: string): void => {
  checkHorizon(peer, when);
  for (const key of peer.world.params.keys) checkKey(peer, key, when);
};

/** WAIT and --acks: whoever is counted as holding the newest write on disk does hold it there. */
export const checkHolding = (peer: SimPeer): void => {
  const { replica, world, origin } = peer;
  if (replica === undefined || world.peers.some((other) => other.everLostDisk)) return;
  const seq = replica.state.lastSeq;
  if (seq === 0) return;
  const counted = replica.peersHolding(seq);
  const holding = world.peers.filter((other) => other !== peer && seqAt(other.syncedVv, origin) >= seq).length;
  if (counted > 0) world.cover("holdersChecked");
  if (counted > holding)
    violate(`${peer.name} counts ${counted} peers that hold its write ${seq} on disk, ${holding} do`);
};

/** Where maps are equal, so is the version of every key: a condition on one means the same at both. */
const compareVersions = (a: SimPeer, b: SimPeer, nowMs: number, cover: (name: string) => void): void => {
  const [ofA, ofB] = [a.replica?.keyspace, b.replica?.keyspace];
  if (ofA === undefined || ofB === undefined) return;
  ofA.begin(nowMs);
  ofB.begin(nowMs);
  for (const key of a.world.params.keys) {
    const [versionA, versionB] = [ofA.version(key), ofB.version(key)];
    if (versionA !== versionB)
      violate(`${key} has version ${versionA} at ${a.name} and ${versionB} at ${b.name}, at equal vectors`);
    if (versionA?.includes("/")) cover("counterVersionsCompared");
  }
};

/** Equal vectors and equal settled horizons imply equal digests. */
export const compareDigests = (peers: readonly SimPeer[], cover: (name: string) => void): void => {
  for (const a of peers) {
    for (const b of peers) {
      if (a.index >= b.index || a.replica === undefined || b.replica === undefined) continue;
      const [mapA, mapB] = [a.replica.state.map, b.replica.state.map];
      if (mapA.horizonMs !== mapB.horizonMs || !mapA.horizonSettled || !mapB.horizonSettled) continue;
      if (
        a.vv.some((seq, origin) => seq !== seqAt(b.vv, origin)) ||
        b.vv.some((seq, origin) => seq !== seqAt(a.vv, origin))
      )
        continue;
      cover("digestsCompared");
      if (mapA.digest.text !== mapB.digest.text) violate(`digests of ${a.name} and ${b.name} differ at equal vectors`);
      compareVersions(a, b, mapA.horizonMs, cover);
    }
  }
};

/** The digest and the counts kept up per write are what the cells give when looked at afresh. */
export const recountMap = (peer: SimPeer, when: string): void => {
  const { replica } = peer;
  if (replica === undefined) return;
  const { map, origins } = replica.state;
  if (!map.horizonSettled) return;
  const fresh = new CellMap(origins);
  fresh.advanceHorizon(map.horizonMs);
  map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
    const cell = map.cellAt(ref);
    fresh.load(map.keyAt(ref), { ...cell, totals: cell.totals.map((total) => ({ ...total })) });
    return false;
  });
  const counts = (of: CellMap): string =>
    `${of.digest.text} cells ${of.cellCount} live ${of.liveCount} dead ${of.tombstoneCount} expiring ${of.withExpiryCount} bytes ${of.bytes} tombstone bytes ${of.tombstoneBytes}`;
  if (counts(fresh) !== counts(map))
    violate(`${when}: ${peer.name} counts ${counts(map)}, its cells give ${counts(fresh)}`);
};

/**
 * With all handed-out slices written, the store's blocks give every clean cell as it is, and no cell that is not in the
 * map but for those that left it since: whatever was cut, given up, rewritten or begun again on the way there.
 */
export const checkStored = (peer: SimPeer, when: string): void => {
  const { replica, world } = peer;
  if (replica === undefined) return;
  const { map } = replica.state;
  const stored = peer.loadStored("o", "c").state.map;
  const bytesAt = (of: CellMap, ref: number): string => {
    const out = new ByteWriter(64);
    writeCell(out, of.cellAt(ref), (origin) => origin);
    return out.take().toString("hex");
  };
  for (const key of world.params.keys) {
    const ref = map.locate(key);
    const storedRef = stored.locate(key);
    if (ref < 0) {
      if (storedRef >= 0 && !map.isDropped(key)) violate(`${when}: ${peer.name} still stores ${key}`);
      continue;
    }
    if (map.isDirty(ref)) continue;
    const found = storedRef < 0 ? "nothing" : bytesAt(stored, storedRef);
    if (found !== bytesAt(map, ref))
      violate(`${when}: ${peer.name} stores ${found} for ${key} and holds ${bytesAt(map, ref)}`);
    world.cover("storedChecked");
  }
};

/**
 * The conflict journal, against the oracle. Complete: a write that lost here, that no write here had seen when it was
 * made, and that came op by op, is listed (unless something with the same value is there: nothing was lost then). True:
 * two writes stand in an entry only if neither knew of the other and their values differ.
 */
export const checkJournal = (peer: SimPeer): void => {
  const { replica, world } = peer;
  if (replica === undefined || world.params.journalMax < 100) return;
  const { history } = world;
  const listed = new Map<string, Conflict>();
  for (const conflict of replica.conflicts(undefined)) {
    listed.set(conflict.id, conflict);
    const loser = history.byDot(conflict.loser.dot);
    const winner = history.byDot(conflict.winner.dot);
    if (loser === undefined || winner === undefined)
      return violate(`${peer.name} lists a conflict of writes nobody made`);
    if (loser.key !== conflict.key || winner.key !== conflict.key)
      violate(`${peer.name} lists a conflict under another key`);
    if ((loser.value ?? undefined) !== conflict.loser.value)
      violate(`${peer.name} lists a conflict with another value`);
    if (!history.isLater(winner, loser)) violate(`${peer.name} lists the winner of a conflict as its loser`);
    if (knows(winner.context, loser) || knows(loser.context, winner)) {
      violate(`${peer.name} lists ${conflict.id} as displaced by ${conflict.winner.dot}, which knew it`);
    }
  }
  for (const key of world.params.keys) {
    const writes = history.ofKey(key).filter((op) => op.kind !== "incr" && knows(peer.vv, op));
    const winner = history.winner(key, peer.vv);
    for (const op of writes) {
      if (op === winner || knows(peer.installedVv, op)) continue;
      const dot = `${history.ids[op.origin]}:${op.seq}`;
      if (listed.has(dot)) {
        world.cover("conflictsChecked");
        continue;
      }
      if (writes.some((other) => other !== op && (knows(other.context, op) || other.value === op.value))) continue;
      violate(`${peer.name} lost ${dot} (${key}) to a concurrent write and does not list it`);
    }
  }
};
