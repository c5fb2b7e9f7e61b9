/**
 * One run: random steps of everything that can happen, then healing: no more faults, all must become equal, and every
 * tombstone must go. The schedule and its rates follow the executable model of the rules, which found each of them needed.
 */
import { stampToMs } from "../../server/replica/hybrid-clock.ts";
import { checkAll, checkHolding, checkJournal, compareDigests, recountMap } from "./checks.ts";
import { coversAll, seqAt, violate } from "./oracle.ts";
import type { SimPeer } from "./peer.ts";
import { type Coverage, World, type WorldOptions } from "./world.ts";
import { flush, write } from "./writes.ts";

const isUp = (peer: SimPeer): boolean => peer.replica !== undefined;

const keepSome =
  (world: World) =>
  (count: number): number =>
    world.random.chance(0.5) ? count : world.random.int(count + 1);

/** Whether two peers may have a link at all. */
const canLink = ({ params }: World, a: SimPeer, b: SimPeer): boolean =>
  !(params.hasDeadLink && a.index + b.index === 1);

const connect = (world: World, a: SimPeer, b: SimPeer): void => {
  if (!isUp(a) || !isUp(b) || !canLink(world, a, b)) return;
  const { network } = world;
  const [endA, endB] = [network.end(a, b), network.end(b, a)];
  // A link that neither side knows to be broken stands.
  if (endA !== undefined && endB !== undefined && !endA.isClosing && !endB.isClosing) return;
  if (refused(world, a, b) || refused(world, b, a)) return;
  network.connect(a, b, world.random.chance(0.5));
};

/** The handshake: a peer that is older than a run of its name that `by` knows is told so, stops, and starts above it. */
const refused = (world: World, peer: SimPeer, by: SimPeer): boolean => {
  const newest = by.replica?.state.facts.view[peer.index] ?? "";
  if (newest === "" || newest <= peer.incarnation) return false;
  stop(world, peer, "kill");
  peer.restartAbove(newest);
  return true;
};

const stop = (world: World, peer: SimPeer, kind: Fault): void => {
  const { random, network, peers } = world;
  world.gather(peer);
  network.died(peer, peers, keepSome(world));
  peer.crash(kind);
  const late = peers.filter((other) => other !== peer && (network.end(other, peer)?.inbox.length ?? 0) > 0);
  if (late.length > 0 && random.chance(0.6)) {
    world.stall(peer, random.pick(late), 60 + random.int(250));
    world.cover("lateReaders");
  }
};

type Fault = "kill" | "power" | "disk" | "backup";

/** One disk at a time may be lost or rolled back, while somebody else still serves. */
const mayLoseDisk = ({ params, peers }: World, peer: SimPeer): boolean =>
  params.losesDisks &&
  peers.some((other) => other !== peer && isUp(other) && !other.isGated) &&
  !peers.some((other) => other.isGated || other.isLost);

/** The others have purged since what the backup still has: putting it back is most telling. */
const isBackupOld = ({ peers }: World, { backup }: SimPeer): boolean =>
  backup !== undefined && peers.some((other) => isUp(other) && !coversAll(backup.vv, other.purgedVv));

const loseDisk = (world: World, peer: SimPeer, kind: "disk" | "backup"): void => {
  stop(world, peer, kind);
  // The others trim what only the lost disk would have needed.
  if (world.random.chance(0.7)) for (const other of world.peers) if (isUp(other)) other.trim(true);
};

const fault = (world: World, peer: SimPeer): void => {
  const { random, params } = world;
  const kinds: Fault[] = ["kill"];
  if (params.losesPower) kinds.push("power", "power");
  // Most telling when there is something to lose.
  if (params.losesPower && peer.hasUnsynced) kinds.push("power", "power", "power", "power", "power", "power");
  if (mayLoseDisk(world, peer)) kinds.push("disk");
  const kind = random.pick(kinds);
  if (kind === "disk" || kind === "backup") loseDisk(world, peer, kind);
  else stop(world, peer, kind);
};

/** A quiet moment, in which most peers hear most facts, make checkpoints and purge: else purging hardly gets that far. */
const calm = (world: World, skipRate = 0.1): void => {
  const { random, peers, network } = world;
  world.cover("calms");
  for (let round = 0; round < 3; round++) {
    for (const peer of peers) {
      if (random.chance(skipRate)) continue;
      peer.syncEnd();
      peer.syncBegin();
      peer.syncEnd();
      peer.run((replica) => replica.heartbeat());
    }
    for (const peer of peers) {
      for (const from of peers) {
        if (from === peer || world.isStalled(from, peer)) continue;
        for (let count = 0; count < 200 && network.deliver(peer, from); count++);
      }
    }
  }
  for (const peer of peers) {
    if (!isUp(peer) || random.chance(2 * skipRate)) continue;
    peer.wholeCheckpoint();
    const purged = peer.replica?.state.counts["purged"] ?? 0;
    for (let count = 0; count < 20; count++) peer.purgeStep();
    world.cover("purgedMidRun", (peer.replica?.state.counts["purged"] ?? 0) - purged);
    if (random.chance(0.3)) peer.trim(true);
  }
};

/** A backup, deletes, a purge of what was deleted, and the backup put back: nothing of it may return to the others. */
const restoreAfterPurge = (world: World, peer: SimPeer): void => {
  if (!mayLoseDisk(world, peer)) return;
  peer.takeBackup();
  calm(world, 0);
  flush(world.random.pick(world.peers));
  calm(world, 0);
  calm(world, 0);
  if (isBackupOld(world, peer) && mayLoseDisk(world, peer)) loseDisk(world, peer, "backup");
};

const randomStep = (world: World): void => {
  const { random, params, peers, network } = world;
  world.nowMs += random.int(2 * params.stepMs + 1);
  const peer = random.pick(peers);
  const busy = world.step % params.lull < 50;
  if (random.chance(0.01)) {
    peer.skewMs -= random.int(params.skewJumpMs);
    world.cover("clockBack");
  }
  if (random.chance(0.01)) {
    peer.skewMs += random.int(params.skewJumpMs);
    world.cover("clockForward");
  }
  if (!isUp(peer)) {
    if (random.chance(params.restartRate)) {
      peer.start();
    }
    return;
  }
  const isLazy = peer.index === params.lazy && !random.chance(0.1);
  const point = random.next();
  let edge = busy ? params.writeRate : params.writeRate / 20;
  const under = (width: number): boolean => {
    edge += width;
    return point < edge;
  };
  if (under(0)) return write(peer, !busy);
  edge = 0.26;
  if (point < edge) return peer.append();
  if (under(0.04)) {
    if (isLazy) return undefined;
    peer.syncBegin();
    return random.chance(0.4) ? peer.syncEnd() : undefined;
  }
  if (under(0.02)) return peer.syncEnd();
  if (under(0.06)) return peer.run((replica) => replica.heartbeat());
  if (under(0.05)) return peer.tick();
  if (under(0.08)) {
    if (!isLazy) for (let count = 1 + random.int(12); count > 0; count--) peer.checkpointStep();
    return undefined;
  }
  if (under(params.purgeRate / 2)) return peer.purgeStep();
  if (under(params.trimRate)) return peer.trim(false);
  if (under(0.03)) {
    if (peer.syncWanted && random.chance(0.5)) return peer.syncBegin();
    return peer.ceilingStep();
  }
  if (under(0.04)) return void peer.readLog();
  if (under(params.cutRate)) {
    const other = random.pick(peers);
    if (other !== peer && network.cut(peer, other, keepSome(world))) {
      world.cover("cuts");
      world.say(() => `the link ${peer.name}-${other.name} is cut`);
    }
    return undefined;
  }
  if (under(params.stallRate)) {
    const other = random.pick(peers);
    if (other !== peer) world.stall(peer, other, 30 + random.int(150));
    world.cover("oneWayStalls");
    return undefined;
  }
  if (under(0.02)) {
    for (const a of peers) {
      for (const b of peers) {
        if (a.index < b.index && random.chance(params.connectRate) && !world.isStalled(a, b) && !world.isStalled(b, a))
          connect(world, a, b);
      }
    }
    return undefined;
  }
  if (under(0.05)) {
    return peer.run((replica) => {
      for (const link of replica.scanning()) replica.scanSlice(link, params.scanBytes);
    });
  }
  if (under(params.faultRate)) {
    return fault(world, peer);
  }
  if (under(0.01)) {
    if (params.losesDisks && random.chance(peer.backup === undefined ? 0.3 : 0.02)) peer.takeBackup();
    return undefined;
  }
  if (under(0.004)) return recountMap(peer, "between steps");
  if (under(0.004)) return checkAll(peer, "between steps");
  if (under(0.004)) return compareDigests(peers, (name) => world.cover(name));
  if (under(0.003)) return peer.run((replica) => replica.requestSync());
  if (under(0.008)) return checkHolding(peer);
  if (under(params.calmRate)) return calm(world);
  if (under(params.calmRate / 4)) return restoreAfterPurge(world, peer);
  if (under(params.losesDisks ? 0.004 : 0)) {
    if (isBackupOld(world, peer) && mayLoseDisk(world, peer)) loseDisk(world, peer, "backup");
    return undefined;
  }
  if (under(params.strikeRate)) return peer.hasUnsynced ? stop(world, peer, "power") : undefined;
  const from = random.pick(peers);
  if (from === peer || world.isStalled(from, peer)) return undefined;
  if (
    params.slow !== undefined &&
    params.slow[0] === from.index &&
    params.slow[1] === peer.index &&
    !random.chance(params.slowRate)
  )
    return undefined;
  for (let count = random.int(params.burst) + 1; count > 0; count--) if (!network.deliver(peer, from)) break;
  return undefined;
};

// ---- healing ----------------------------------------------------------------------------------------------------------

/** Delivers, reads and scans until nothing moves. */
const settle = (world: World): void => {
  const { peers, network, params } = world;
  for (const a of peers) for (const b of peers) if (a.index < b.index) connect(world, a, b);
  for (const peer of peers) if (!isUp(peer)) peer.start();
  let left = 200_000;
  const more = (): boolean => left-- > 0 || violate("the peers never stop talking");
  for (let moved = true; moved; ) {
    moved = false;
    for (const peer of peers) {
      peer.take();
      if (peer.ceilingWanted > 0) {
        peer.beginCeiling();
        moved = true;
      }
      peer.endCeiling();
      for (const other of peers) while (other !== peer && network.deliver(peer, other)) moved = more();
      while (peer.readLog()) moved = more();
      for (const link of peer.replica?.scanning() ?? []) {
        peer.run((replica) => replica.scanSlice(link, params.scanBytes));
        moved = true;
      }
    }
  }
};

const sameVectors = (peers: readonly SimPeer[]): boolean =>
  peers.every((peer) => peers.every((other) => peer.vv.every((seq, origin) => seq === seqAt(other.vv, origin))));

const tellFacts = (world: World): void => {
  for (const peer of world.peers) {
    peer.syncEnd();
    peer.syncBegin();
    peer.syncEnd();
    peer.run((replica) => replica.heartbeat());
    peer.tick();
  }
};

const describe = (peer: SimPeer): string =>
  `${peer.name} [${peer.vv.join(" ")}]${peer.isGated ? " gated" : ""} ${[...(peer.replica?.links() ?? [])]
    .map(
      (link) =>
        `${link.peer}:${link.out.mode}${link.ready ? "" : " not ready"} waits ${link.waiting.length}${link.staging === undefined ? "" : " staging"}${link.blocked ? " blocked" : ""}`,
    )
    .join(", ")}`;

const heal = (world: World): void => {
  const { peers } = world;
  world.healing = true;
  world.stalled.clear();
  for (const peer of peers) if (!isUp(peer)) peer.start();
  // Clocks are set right; stamps from the future become past.
  for (const peer of peers) {
    world.nowMs = Math.max(world.nowMs, stampToMs(peer.replica?.state.clock.last ?? 0) + 1, peer.wallMs);
    peer.skewMs = 0;
  }
  const isHealed = (): boolean => sameVectors(peers) && peers.every((peer) => !peer.isGated);
  for (let round = 0; ; round++) {
    settle(world);
    world.nowMs += 700;
    tellFacts(world);
    settle(world);
    if (isHealed()) break;
    if (round > 40) violate(`they never become equal: ${peers.map(describe).join("; ")}`);
  }
  for (const peer of peers) {
    for (const link of peer.replica?.links() ?? [])
      if (link.waiting.length > 0) violate(`a frame waits for ever at ${peer.name}`);
    checkAll(peer, "healed");
    checkJournal(peer);
  }
  compareDigests(peers, (name) => world.cover(name));
  if (world.seed % 20 === 0) compareByKeys(world);
  checkAcked(world);
};

/** DIFF between equal peers finds nothing. */
const compareByKeys = (world: World): void => {
  const [a, b] = world.peers.slice(-2) as [SimPeer, SimPeer];
  a.run((replica) => void replica.compare(b.name));
  settle(world);
  for (const { identical, truncated } of world.comparisons.splice(0)) {
    // At unequal horizons one of them still counts what has expired for the other.
    if (truncated || a.replica?.state.map.horizonMs !== b.replica?.state.map.horizonMs) continue;
    world.cover("comparisons");
    if (!identical) violate(`DIFF finds keys that differ between ${a.name} and ${b.name}`);
  }
};

/** What a client was told is there, unless every disk that can have held it was lost. */
const checkAcked = (world: World): void => {
  const { acked, history, peers } = world;
  acked.forEach((seq, origin) => {
    const peer = peers[history.peers[origin] as number] as SimPeer;
    const held = seqAt((peers[0] as SimPeer).vv, origin);
    world.cover("acked", seq);
    if (held >= seq) return;
    world.cover("ackedLostWithEveryDisk", seq - held);
    if (!peer.everLostPower && !peer.everLostDisk)
      violate(`writes of ${history.ids[origin]} that were answered are gone, and no disk was lost`);
  });
};

/** A key whose cell nobody can see any more. */
const deadKey = (peer: SimPeer): string | undefined => {
  const map = peer.replica?.state.map;
  let dead: string | undefined;
  map?.walk(0, Number.POSITIVE_INFINITY, (ref) => {
    if (map.lanesAt(ref) === undefined) dead = map.keyAt(ref);
    return dead !== undefined;
  });
  return dead;
};

/** Time passes every expiry; after checkpoints and facts nothing dead may be left anywhere, the stores included. */
const purgeAll = (world: World): void => {
  const { peers } = world;
  world.nowMs += 60_000;
  for (let round = 0; round < 8; round++) {
    for (let twice = 0; twice < 2; twice++) {
      tellFacts(world);
      settle(world);
    }
    for (const peer of peers) {
      peer.wholeCheckpoint();
      peer.tick();
      do peer.purgeStep();
      while ((peer.replica?.purger.pending ?? 0) > 0);
    }
    world.nowMs += 700;
    if (peers.every((peer) => deadKey(peer) === undefined && peer.replica?.state.map.droppedCount === 0)) break;
  }
  for (const peer of peers) {
    checkAll(peer, "the end");
    recountMap(peer, "the end");
    const dead = deadKey(peer);
    if (dead !== undefined) violate(`the dead cell of ${dead} is never purged at ${peer.name}`);
    const tombstones = peer.replica?.state.map.tombstoneCount;
    if (tombstones !== 0) violate(`${peer.name} counts ${tombstones} tombstones and has none`);
  }
  compareDigests(peers, (name) => world.cover(name));
};

/** After all that, what is on disk is the whole state. */
const restartAll = (world: World): void => {
  for (const peer of world.peers) {
    const before = [...peer.vv];
    while (peer.pendingWrites.length > 0) peer.writePending();
    stop(world, peer, "kill");
    peer.start();
    if (!before.every((seq, origin) => seq === seqAt(peer.vv, origin)))
      violate(`${peer.name} comes back with another vector`);
    recountMap(peer, "the last start");
    const dead = deadKey(peer);
    if (dead !== undefined) violate(`the purged cell of ${dead} comes back at ${peer.name}`);
  }
};

export const runSeed = (options: WorldOptions): Coverage => {
  const world = new World(options);
  const { peers, params } = world;
  for (const peer of peers) peer.start();
  for (const a of peers) for (const b of peers) if (a.index < b.index) connect(world, a, b);
  for (; world.step < params.steps; world.step++) randomStep(world);
  heal(world);
  purgeAll(world);
  restartAll(world);
  for (const peer of peers) world.gather(peer);
  world.cover("origins", world.history.ids.length);
  return world.coverage;
};
