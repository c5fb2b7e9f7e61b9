/**
 * One history of strong keys: chance decides what happens next; then all faults end, everything must come to its end, and
 * each peer reads each key. The history must be linearizable, per key.
 */
import { writeHistory } from "../../lincheck/history.ts";
import { checkHistory } from "../../lincheck/linearizability.ts";
import type { Coverage, WorldOptions } from "../world.ts";
import { Violation } from "./checks.ts";
import { SimClient } from "./clients.ts";
import type { SimRegisterPeer } from "./peer.ts";
import { RegisterWorld } from "./world.ts";

/** Steps after the faults in which everything must be at its end. */
const healingStepsMax = 20_000;
/** The network is quick then, so that no deadline is missed for want of steps. */
const deliveriesHealing = 12;
/** The checker gives up beyond this; it must not happen with histories of this size. */
const checkerStepsMax = 10_000_000;

export const runRegisterSeed = (options: WorldOptions): Coverage => {
  const world = new RegisterWorld(options);
  const { params, random, peers, network } = world;
  // A cluster that is told that it is new, or one whose peers find it out.
  const isTold = random.chance(0.7);
  for (const peer of peers) peer.start(isTold);
  if (!isTold) world.cover("bornByMeeting");
  let issued = 0;
  for (world.step = 1; world.step <= params.steps; world.step++) {
    moveOn(world);
    for (const client of world.clients) {
      if (issued < params.operations && !client.isBusy && random.chance(0.12)) {
        issued++;
        client.act();
      }
    }
    strike(world);
    if (issued >= params.operations && world.clients.every(({ isBusy }) => !isBusy) && random.chance(0.02)) break;
  }
  heal(world);
  finish(world);
  for (const peer of peers) world.gather(peer);
  if (network.size > 0) world.cover("leftInFlight", network.size);
  judge(world);
  return world.coverage;
};

const moveOn = (world: RegisterWorld): void => {
  const { params, random, peers, network } = world;
  world.nowMs += -Math.log(1 - random.next()) * params.stepMs;
  const deliveries = world.healing ? deliveriesHealing : params.deliveries;
  for (let count = 0; count < deliveries; count++) {
    const message = network.take((to) => peers[to]?.isRunning === true);
    if (message === undefined) break;
    peers[message.to]?.receive((peers[message.from] as SimRegisterPeer).name, message.bytes);
  }
  for (const peer of peers) {
    if (!peer.isRunning) continue;
    peer.tick();
    if (random.chance(0.01)) peer.meetAll();
    if (random.chance(world.healing ? 1 : params.syncRate)) peer.disk();
  }
  for (const client of world.clients) client.tick();
  world.runLater();
};

/** Crashes, pauses, cuts, lost disks: never more disks lost than a minority. */
const strike = (world: RegisterWorld): void => {
  const { params, random, peers, network } = world;
  if (random.chance(params.crashRate)) {
    const peer = random.pick(peers);
    if (peer.isUp) {
      peer.crash();
      world.cover("crashes");
      world.say(() => `${peer.name} crashes`);
    }
  }
  if (random.chance(params.diskLossRate)) {
    const peer = random.pick(peers);
    const lostMax = Math.ceil(peers.length / 2) - 1;
    // Whoever is put back before all were let in leaves nobody to let the others in; an operator begins anew then.
    if (
      !peer.lost &&
      peers.every(({ wasAdmitted }) => wasAdmitted) &&
      peers.filter(({ lost }) => lost).length < lostMax
    ) {
      if (peer.isUp) peer.crash();
      peer.loseDisk();
      world.cover("disksLost");
      world.say(() => `${peer.name} loses its disk`);
    }
  }
  if (random.chance(params.pauseRate)) {
    const peer = random.pick(peers);
    peer.pausedUntilMs = world.nowMs + random.int(1500);
    world.cover("pauses");
    world.say(() => `${peer.name} stands still`);
  }
  for (const peer of peers) {
    if (!peer.isUp && random.chance(params.restartRate)) {
      world.say(() => `${peer.name} starts`);
      peer.start(false);
    } else if (peer.isRunning && peer.needsReadmission && random.chance(0.05)) {
      world.say(() => `${peer.name} is readmitted`);
      peer.readmit();
    }
    if (random.chance(0.002)) peer.wallOffsetMs = (random.next() - 0.5) * 20_000;
  }
  if (random.chance(params.cutRate)) cut(world);
  if (network.cuts.size > 0 && random.chance(0.01)) network.cuts.clear();
};

const cut = (world: RegisterWorld): void => {
  const { random, peers, network } = world;
  const from = random.int(peers.length);
  const shape = random.pick(["one way", "both ways", "alone", "deaf"] as const);
  world.cover(`cut ${shape}`);
  world.say(() => `cut ${shape}, ${world.names[from]}`);
  for (const [other] of peers.entries()) {
    if (other === from || ((shape === "one way" || shape === "both ways") && random.chance(0.5))) continue;
    network.cuts.add(other * 8 + from);
    if (shape === "both ways" || shape === "alone") network.cuts.add(from * 8 + other);
  }
};

const heal = (world: RegisterWorld): void => {
  const { peers, network } = world;
  world.healing = true;
  network.healing = true;
  network.cuts.clear();
  world.say(() => "all faults end");
  for (const peer of peers) {
    peer.pausedUntilMs = 0;
    if (!peer.isUp) peer.start(false);
  }
};

const until = (world: RegisterWorld, what: string, done: () => boolean): void => {
  for (let count = 0; !done(); count++) {
    if (count > healingStepsMax) throw new Violation(`no end of ${what}, with all faults over`);
    world.step++;
    moveOn(world);
    for (const peer of world.peers) {
      if (peer.needsReadmission) peer.readmit();
    }
  }
};

/** Clients come to their end, lost disks are readmitted, and every peer reads every key. */
const finish = (world: RegisterWorld): void => {
  until(world, "a client's operation", () => world.clients.every(({ isBusy }) => !isBusy));
  until(world, "a readmission", () => world.peers.every(({ lost }) => !lost));
  const readers = world.peers.map((_, index) => new SimClient(world, `r${index}-`, false));
  for (const key of [...world.params.keys, ...(world.params.lockClients > 0 ? ["lock"] : [])]) {
    for (const reader of readers) {
      let answered = false;
      for (let tries = 0; !answered; tries++) {
        if (tries > 20) throw new Violation(`${key} cannot be read, with all faults over`);
        reader.start(key, { kind: "get" }, undefined, (outcome) => {
          answered = outcome.kind === "done";
        });
        until(world, "a read", () => !reader.isBusy);
      }
    }
  }
};

const judge = (world: RegisterWorld): void => {
  const verdict = checkHistory(world.history, checkerStepsMax);
  world.cover("checkerSteps", verdict.steps);
  world.cover("operations", world.history.length);
  if (verdict.ok === true) return;
  if (verdict.ok === "undecided")
    world.say(() => writeHistory(world.history.filter((entry) => entry.key === verdict.key)));
  if (verdict.ok === "undecided") throw new Violation(`the checker gave up on ${verdict.key}`);
  const { key, longest, stuck } = verdict;
  world.say(
    () => `no order explains ${key}; as far as it went:\n${writeHistory(longest)}then one of\n${writeHistory(stuck)}`,
  );
  world.say(() => `all of it:\n${writeHistory(world.history.filter((entry) => entry.key === key))}`);
  throw new Violation(`the history of ${key} is not linearizable`);
};
