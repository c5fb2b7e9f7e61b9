/**
 * Rules that chance seldom brings to light, played by hand: three peers whose messages and syncs go when the test says so.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeRegisterMessages, type RegisterMessage } from "../../protocol/register-messages.ts";
import type { OriginId, PeerName } from "../../protocol/words.ts";
import { type Operation, type Outcome, Registers } from "../../server/registers/index.ts";

interface Flying {
  readonly from: PeerName;
  readonly to: PeerName;
  readonly bytes: Uint8Array;
}

class Peers {
  readonly names: readonly PeerName[];
  readonly by = new Map<PeerName, Registers>();
  readonly disks = new Map<PeerName, Uint8Array[]>();
  flying: Flying[] = [];
  readonly outcomes = new Map<number, Outcome>();
  /** Peers whose disk takes what is written and never says that it is safe. */
  readonly stuck = new Set<string>();
  nowMs = 0;
  #runs = 0;
  #ids = 0;

  constructor(count = 3) {
    this.names = ["a", "b", "c", "d", "e"].slice(0, count) as PeerName[];
    for (const name of this.names) {
      this.disks.set(name, []);
      this.start(name);
      this.at(name).admitNew();
      this.turn(name);
    }
    this.meet();
  }

  at(name: string): Registers {
    return this.by.get(name as PeerName) ?? assert.fail(`no peer ${name}`);
  }

  start(name: PeerName): void {
    const registers = new Registers({
      name,
      peers: this.names,
      random: () => 0.5,
      deadKeptMs: 1000,
      choresMs: 100,
      ceilingStep: 1000,
    });
    for (const record of this.disks.get(name) ?? []) registers.restore(record);
    registers.start(this.origin(name), this.nowMs);
    this.by.set(name, registers);
  }

  /** All are linked, and tell each other where they stand. */
  meet(): void {
    for (const name of this.names) {
      for (const other of this.names) if (other !== name) this.at(name).meet(other);
      this.turn(name);
    }
    this.deliver();
  }

  origin(name: PeerName): OriginId {
    return `${name}.${String(++this.#runs).padStart(15, "0")}` as OriginId;
  }

  /** `synced`: false leaves what was appended in the system's hands. */
  turn(name: PeerName, synced = true): void {
    const registers = this.at(name);
    for (let more = true; more; more = registers.hasWork) {
      const { append, appendedThrough, send, results } = registers.ready();
      this.disks.get(name)?.push(...append);
      for (const { to, bytes } of send) this.flying.push({ from: name, to, bytes });
      for (const { id, outcome } of results) this.outcomes.set(id, outcome);
      if (synced && !this.stuck.has(name)) registers.synced(appendedThrough);
    }
  }

  operate(name: string, operation: Operation, deadlineMs = this.nowMs + 2000, operationId?: string): number {
    const id = ++this.#ids;
    this.at(name).setTime(this.nowMs);
    this.at(name).operate({ id, key: "k", operation, deadlineMs, operationId });
    this.turn(name as PeerName);
    return id;
  }

  /** Delivers what `passes`, and what comes of it; the rest is lost unless `keeps`. */
  deliver(passes: (message: RegisterMessage, flying: Flying) => boolean = () => true, keeps = false): void {
    let kept: Flying[] = [];
    while (this.flying.length > 0) {
      const flying = this.flying;
      this.flying = [];
      for (const one of flying) {
        if (!decodeRegisterMessages(one.bytes).every((message) => passes(message, one))) {
          kept.push(one);
          continue;
        }
        this.at(one.to).setTime(this.nowMs);
        this.at(one.to).receive(one.from, one.bytes);
        this.turn(one.to);
      }
    }
    if (!keeps) kept = [];
    this.flying = kept;
  }

  later(ms: number, names = this.names): void {
    this.nowMs += ms;
    for (const name of names) {
      this.at(name).setTime(this.nowMs);
      this.at(name).tick();
      this.turn(name);
    }
  }

  show(id: number): string {
    const outcome = this.outcomes.get(id);
    if (outcome === undefined) return "waits";
    if (outcome.kind !== "done") return outcome.kind;
    const { reply } = outcome;
    return "text" in reply ? reply.text : "value" in reply ? String(reply.value) : reply.kind;
  }

  /** Asked and answered, with nothing in the way. */
  ask(name: string, operation: Operation): string {
    const id = this.operate(name, operation);
    for (let tries = 0; tries < 20 && !this.outcomes.has(id); tries++) {
      this.deliver();
      if (!this.outcomes.has(id)) this.later(100);
    }
    return this.show(id);
  }
}

const get: Operation = { kind: "get" };
const set = (value: string, condition: "none" | "absent" = "none"): Operation => ({
  kind: "set",
  value,
  condition,
  returnsOld: false,
  ttlMs: 0,
});

const among =
  (...names: string[]) =>
  (_: RegisterMessage, { from, to }: Flying): boolean =>
    names.includes(from) && names.includes(to);

test("what one peer wrote every peer reads", () => {
  const peers = new Peers();
  assert.equal(peers.ask("a", set("x")), "ok");
  for (const name of peers.names) assert.equal(peers.ask(name, get), "x");
  assert.equal(peers.ask("b", { kind: "append", text: "y" }), "2");
  assert.equal(peers.ask("c", get), "xy");
});

test("without a majority nothing happens, and it is said so", () => {
  const peers = new Peers();
  const id = peers.operate("a", set("x"));
  peers.deliver(() => false);
  peers.later(2001);
  assert.equal(peers.show(id), "no-quorum");
  assert.equal(peers.ask("b", get), "nil");
});

test("an accept without an answer is unknown at the deadline, and may come to pass", () => {
  const peers = new Peers();
  const id = peers.operate("a", set("x"), 300);
  peers.deliver(({ kind }) => kind !== "accepted");
  peers.later(301);
  assert.equal(peers.show(id), "unknown");
  assert.equal(peers.ask("b", get), "x");
});

test("a refused accept is tried again and done once", () => {
  const peers = new Peers();
  const id = peers.operate("a", { kind: "incrby", amount: 1 });
  // a's own acceptor and b accept; nobody tells a.
  peers.deliver(({ kind }) => kind !== "accepted");
  for (let tries = 0; tries < 20; tries++) {
    peers.later(100);
    peers.deliver();
  }
  assert.equal(peers.show(id), "1");
  assert.equal(peers.ask("b", get), "1");
});

test("what was in an accept is not answered from a prepare: the accept could still come to pass", () => {
  const peers = new Peers(5);
  assert.equal(peers.ask("c", set("old")), "ok");
  // A delete and a claim go out in one round of a, whose own disk is stuck; e alone accepts it.
  peers.stuck.add("a");
  const gone = peers.operate("a", { kind: "del" }, 1000);
  const claim = peers.operate("a", set("mine", "absent"), 5000);
  for (
    let tries = 0;
    tries < 20 && peers.at("e").acceptor.look("k")?.accepted.origin.startsWith("a") !== true;
    tries++
  ) {
    peers.deliver(({ kind }, { to }) => kind !== "accept" || to === "e");
    peers.later(20);
  }
  for (let tries = 0; tries < 40 && peers.show(claim) === "waits"; tries++) {
    peers.later(100);
    // From now on e is away. Without the delete, whose time is over, the claim is refused.
    peers.deliver(peers.show(gone) === "waits" ? () => false : among("a", "b", "c", "d"));
  }
  assert.deepEqual([peers.show(gone), peers.show(claim)], ["unknown", "nil"]);
  const read = peers.operate("c", get, peers.nowMs + 5000);
  for (let tries = 0; tries < 20 && peers.show(read) === "waits"; tries++) {
    peers.deliver(among("c", "d", "e"));
    peers.later(100);
  }
  assert.equal(peers.show(read), "old", "the claim was refused, so it never takes effect");
});

test("an operation past its deadline is not begun, by a peer that stood still", () => {
  const peers = new Peers();
  const id = peers.operate("a", set("late"), 300);
  peers.deliver(({ kind }) => kind === "prepare", true);
  peers.nowMs = 5000;
  // The promises come before a looks at the time of its operations.
  peers.deliver();
  peers.later(0);
  assert.equal(peers.show(id), "no-quorum");
  assert.equal(peers.ask("b", get), "nil");
});

test("an answer waits for the disk, though nothing was written for it", () => {
  const peers = new Peers();
  const name = "a" as PeerName;
  peers.operate("b", set("x"));
  peers.deliver(({ kind }) => kind === "prepare" || kind === "promised", true);
  const accept = peers.flying.find(({ to }) => to === name) ?? assert.fail("an accept for a");
  peers.flying = [];
  peers.at("a").receive(accept.from, accept.bytes);
  peers.turn(name, false);
  assert.equal(peers.flying.length, 0, "the accept is not on disk");
  peers.operate("c", get);
  const query = peers.flying.find(({ to }) => to === name) ?? assert.fail("a query for a");
  peers.flying = [];
  peers.at("a").receive(query.from, query.bytes);
  peers.turn(name, false);
  assert.equal(peers.flying.length, 0, "nor may it be told of");
  peers.turn(name);
  assert.deepEqual(
    peers.flying.flatMap(({ bytes }) => decodeRegisterMessages(bytes).map(({ kind }) => kind)),
    ["accepted", "state"],
  );
});

test("a second write of the same peer takes one round trip, a read of any peer too", () => {
  const peers = new Peers();
  peers.ask("a", set("x"));
  const kinds = new Set<string>();
  const note = ({ kind }: RegisterMessage): boolean => kinds.add(kind).size > 0;
  const write = peers.operate("a", set("y"));
  peers.deliver(note);
  assert.deepEqual([peers.show(write), [...kinds]], ["ok", ["accept", "accepted"]]);
  kinds.clear();
  const read = peers.operate("b", get);
  peers.deliver(note);
  assert.deepEqual([peers.show(read), [...kinds]], ["y", ["query", "state"]]);
});

test("a deleted key is purged at all peers, and versions go on above it", () => {
  const peers = new Peers();
  peers.ask("a", set("x"));
  const before = Number(peers.ask("a", { kind: "version" }));
  peers.ask("a", { kind: "del" });
  for (let tries = 0; tries < 60; tries++) {
    peers.later(200);
    peers.deliver();
  }
  for (const name of peers.names) assert.equal(peers.at(name).status.registers, 0, `${name} holds nothing`);
  assert.equal(peers.ask("b", set("y", "absent")), "ok");
  assert.ok(Number(peers.ask("c", { kind: "version" })) > before + 64);
});

test("a peer that is away holds a purge up, not a delete", () => {
  const peers = new Peers();
  peers.ask("a", set("x"));
  const withoutC = (_: RegisterMessage, { from, to }: Flying): boolean => from !== "c" && to !== "c";
  const gone = peers.operate("a", { kind: "del" });
  peers.deliver(withoutC);
  assert.equal(peers.show(gone), "1");
  for (let tries = 0; tries < 40; tries++) {
    peers.later(200);
    peers.deliver(withoutC);
  }
  assert.equal(peers.at("a").status.dead, 1);
  for (let tries = 0; tries < 40; tries++) {
    peers.later(200);
    peers.deliver();
  }
  assert.equal(peers.at("a").status.dead, 0);
  assert.equal(peers.ask("c", get), "nil", "what c held is not back");
});

test("a lost disk answers nothing until it is readmitted, and then knows what the others knew", () => {
  const peers = new Peers();
  const c = "c" as PeerName;
  peers.ask("a", set("x"));
  peers.disks.set(c, []);
  peers.start(c);
  peers.operate("a", get);
  peers.deliver((_, { from }) => {
    assert.notEqual(from, c, "c is silent");
    return true;
  });
  assert.equal(peers.at("c").status.admitted, false);
  assert.equal(peers.ask("c", get), "x", "its clients are served by the others' acceptors");
  peers.at("c").readmit(peers.origin(c));
  for (let tries = 0; tries < 20 && !peers.at("c").status.admitted; tries++) {
    peers.turn(c);
    peers.deliver();
    peers.later(100);
  }
  assert.equal(peers.at("c").status.admitted, true);
  // Now b is lost for good: a and c are a majority.
  const write = peers.operate("a", { kind: "append", text: "y" });
  for (let tries = 0; tries < 20 && peers.show(write) === "waits"; tries++) {
    peers.deliver((_, { from, to }) => from !== "b" && to !== "b");
    peers.later(100);
  }
  assert.equal(peers.show(write), "2");
});

/** a, b and c have promised a's round; its accepts are in `flying`. Its ballot is far above all that d and e know. */
const withRoundUnderWay = (): { readonly peers: Peers; readonly write: number } => {
  const peers = new Peers(5);
  assert.equal(peers.ask("e", set("old")), "ok");
  peers.later(1100);
  const write = peers.operate("a", { kind: "append", text: "+a" }, 1e6);
  for (let tries = 0; tries < 6; tries++) {
    peers.flying = [];
    peers.later(500, ["a" as PeerName]);
    if (peers.flying.length === 0) peers.later(500, ["a" as PeerName]);
  }
  peers.deliver(({ kind }, { to }) => kind === "promised" || (kind === "prepare" && (to === "b" || to === "c")), true);
  peers.flying = peers.flying.filter(({ bytes }) => decodeRegisterMessages(bytes)[0]?.kind === "accept");
  assert.equal(peers.flying.length, 4);
  return { peers, write };
};

/** c loses its disk, and is readmitted by b, d and e; a hears of nothing. */
const loseAndReadmit = (peers: Peers): void => {
  const c = "c" as PeerName;
  const others = peers.names.filter((name) => name !== "a");
  peers.flying = [];
  peers.disks.set(c, []);
  peers.start(c);
  peers.at("c").readmit(peers.origin(c));
  for (let tries = 0; tries < 60 && !peers.at("c").status.admitted; tries++) {
    peers.turn(c);
    peers.deliver(among("b", "c", "d", "e"));
    peers.later(100, others);
  }
  assert.ok(peers.at("c").status.admitted);
};

test("a round that rests on a promise of a lost disk does not displace what was chosen after its readmission", () => {
  const { peers, write } = withRoundUnderWay();
  const underWay = peers.flying.filter(({ to }) => to !== "c");
  loseAndReadmit(peers);
  // A majority of c, d and e, none of which knows of a's round, lets e write.
  const newer = peers.operate("e", { kind: "append", text: "+e" }, 1e6);
  for (let tries = 0; tries < 60 && peers.show(newer) === "waits"; tries++) {
    peers.deliver(among("c", "d", "e"));
    if (peers.show(newer) === "waits") peers.later(100, ["c", "d", "e"] as PeerName[]);
  }
  assert.equal(peers.show(newer), "5");
  peers.flying = underWay;
  peers.deliver();
  const answer = peers.show(write);
  const held = peers.ask("b", get);
  assert.ok(held.includes("+e"), `${held}: what e was told is still there`);
  assert.ok(answer !== "5" && held.split("+a").length <= 2);
});

test("a round that a lost disk accepted is not finished after its readmission", () => {
  const { peers, write } = withRoundUnderWay();
  const toB = peers.flying.filter(({ to }) => to === "b");
  // c accepts, and its answer is long under way; with a's own that is two of the three a waits for.
  peers.deliver(({ kind }, { to }) => kind === "accept" && to === "c", true);
  const answerOfC = peers.flying.filter(({ from }) => from === "c");
  assert.equal(answerOfC.length, 1);
  loseAndReadmit(peers);
  peers.flying = [...answerOfC, ...toB];
  peers.deliver(among("a", "b", "c"));
  const answer = peers.show(write);
  const read = peers.operate("d", get, 1e6);
  for (let tries = 0; tries < 60 && peers.show(read) === "waits"; tries++) {
    peers.deliver(among("c", "d", "e"));
    peers.later(100, ["c", "d", "e"] as PeerName[]);
  }
  assert.ok(answer === "waits" || peers.show(read) === "old+a", `${answer}, but d reads ${peers.show(read)}`);
});

test("a readmission needs a majority of the others", () => {
  const peers = new Peers();
  const c = "c" as PeerName;
  peers.disks.set(c, []);
  peers.start(c);
  peers.at("c").readmit(peers.origin(c));
  for (let tries = 0; tries < 20; tries++) {
    peers.turn(c);
    peers.deliver((_, { from, to }) => from !== "b" && to !== "b");
    peers.later(300);
  }
  assert.deepEqual(peers.at("c").status.readmission, { raised: 1, listed: 0, unread: 0 });
});

test("an absurd counter is refused: it would use up what is left of them", () => {
  const peers = new Peers();
  peers.ask("a", set("x"));
  const before = peers.at("b").acceptor.refusedAbsurd;
  peers.operate("a", set("y"));
  const [{ bytes } = assert.fail()] = peers.flying.filter(({ to }) => to === "b");
  const [message] = decodeRegisterMessages(bytes);
  assert.ok(message?.kind === "accept");
  peers.at("b").acceptor.receive("a" as PeerName, { ...message, ballot: { ...message.ballot, counter: 2 ** 46 } });
  assert.equal(peers.at("b").acceptor.refusedAbsurd, before + 1);
});

test("keys that were only promised are forgotten, below a floor", () => {
  const peers = new Peers(3);
  const { acceptor } = peers.at("a");
  const asker = peers.origin("b" as PeerName);
  const epoch = { counter: 0, origin: "" } as const;
  for (let round = 1; round <= 10_001; round++) {
    const ballot = { counter: round, origin: asker };
    acceptor.receive("b" as PeerName, { kind: "prepare", epoch, asker, round, key: `k${round}`, ballot, known: epoch });
  }
  assert.equal(acceptor.size, 1);
  assert.equal(acceptor.floor.counter, 10_000);
});

/** b has written k last, so the promise for its next round is cached; then a is started again. */
const restartedAfterWrite = (): Peers => {
  const peers = new Peers(3);
  assert.equal(peers.ask("b", set("x")), "ok");
  peers.start("a" as PeerName);
  peers.meet();
  return peers;
};

test("an acceptor that was started again refuses what was prepared before; the next attempt does not wait for a third", () => {
  const peers = restartedAfterWrite();
  const id = peers.operate("b", set("y"));
  const startedMs = peers.nowMs;
  while (!peers.outcomes.has(id)) {
    peers.deliver(among("a", "b"));
    peers.later(1);
    assert(peers.nowMs - startedMs < 100, "c is down, and b waits for it");
  }
  assert.equal(peers.show(id), "ok");
});

test("a refusal is heard also when its round is over", () => {
  const peers = restartedAfterWrite();
  for (let count = 0; count < 5; count++) {
    const id = peers.operate("b", set(`y${count}`));
    // What a answers comes last.
    peers.deliver((_, { from, to }) => from !== "a" || to !== "b", true);
    assert.equal(peers.show(id), "ok");
    peers.deliver();
  }
  assert.deepEqual(peers.at("a").acceptor.look("k")?.accepted, peers.at("b").acceptor.look("k")?.accepted);
});

test("messages and records are parted by the length of their keys too", () => {
  const peers = new Peers(3);
  const registers = peers.at("a");
  for (let id = 1; id <= 10; id++) {
    registers.operate({ id, key: "k".repeat(60_000) + id, operation: set("x"), deadlineMs: 2000 });
  }
  for (const { bytes } of registers.ready().send) assert(bytes.length < 100_000, `${bytes.length} bytes`);
});
