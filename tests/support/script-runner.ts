/**
 * Runs protocol scripts: commands, a line `----`, and what they are expected to print, in the manner of the interaction
 * tests of etcd-io/raft. Blocks are separated by blank lines; `#` begins a comment; the world lives for a whole file.
 *
 *     peers a b c [gated] [unlinked] [journal=N]   N new peers, started (with --bootstrap) and linked
 *     write a k v [px MS]     delete a k     incr a k N     get a k     exec a { write k v; incr n 2; delete k }
 *     deliver all | a->b [N]     hold a->b | release a->b          hand over what links carry; set a direction aside
 *     cut a b [oneway]     heal a b | all                          cut swallows (one way) or ends the link
 *     block a->b | unblock a->b                                    the socket takes no more, or does again
 *     sync a|all     heartbeat a|all     gossip [N]                gossip: tick 300, sync, heartbeat, deliver, N times
 *     checkpoint a [begin|slice|end]     purge a     trim a     scan a
 *     crash a kill|power [keep N]|disk [late b]     restart a [bootstrap] [torn N]     backup a     restore-backup a
 *     clock a +MS|-MS     tick MS     freeze | flow                each command takes 1 ms unless frozen
 *     show all|a     conflicts a     restore a ID     stat a NAME...     links a     diff a b     judge a     trace on|off
 *     corrupt a k VALUE|drop     forge a->b frame RUN:SEQ k v | vector RUN:SEQ | hex ...
 *
 * UPDATE_SCRIPTS=1 rewrites the expectations; read the diff.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { FrameWriter } from "../../protocol/frames.ts";
import { encodeLinkMessage, framesKind } from "../../protocol/link-messages.ts";
import { msToStamp } from "../../server/replica/hybrid-clock.ts";
import type { Replica } from "../../server/replica/index.ts";
import { CounterCell, InvariantError, judgeClock, stampToMs } from "../../server/replica/index.ts";
import { at } from "../../server/replica/version-vector.ts";
import { clockSkewMaxMs, type ScriptPeer, ScriptWorld } from "./script-world.ts";

interface Block {
  readonly lines: readonly string[];
  /** Commands only. */
  readonly commands: readonly string[];
  readonly expected: string;
}

export const parseScript = (text: string): Block[] => {
  const blocks: Block[] = [];
  let lines: string[] = [];
  let expected: string[] | undefined;
  const flush = (): void => {
    const commands = lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
    if (lines.length > 0) blocks.push({ lines, commands, expected: (expected ?? []).join("\n") });
    lines = [];
    expected = undefined;
  };
  for (const line of text.split("\n")) {
    if (line === "----") expected = [];
    else if (expected === undefined) lines.push(line);
    else if (line === "") flush();
    else expected.push(line);
  }
  if (lines.some((line) => line !== "")) flush();
  return blocks;
};

/** Runs a script; hands every block's output to `compare`. With `update`, the file is written anew instead. */
export const runScript = (
  path: string,
  update: boolean,
  compare: (actual: string, expected: string, commands: string) => void,
): void => {
  const blocks = parseScript(readFileSync(path, "utf8"));
  const runner = new ScriptRunner();
  const written: string[] = [];
  for (const block of blocks) {
    const actual = runner.run(block.commands);
    if (update) written.push([...trimBlank(block.lines), "----", ...(actual === "" ? [] : [actual])].join("\n"));
    else compare(actual, block.expected, block.commands.join("\n"));
  }
  if (update) writeFileSync(path, `${written.join("\n\n")}\n`);
};

const trimBlank = (lines: readonly string[]): readonly string[] => {
  const first = lines.findIndex((line) => line !== "");
  const kept = lines.slice(first);
  while (kept.at(-1) === "") kept.pop();
  return kept;
};

class ScriptRunner {
  readonly #world = new ScriptWorld();
  #frozen = false;
  #journalMax = 100;
  #forged = 0;

  run(commands: readonly string[]): string {
    for (const command of commands) {
      try {
        this.#command(command);
      } catch (error) {
        if (!(error instanceof InvariantError)) throw new Error(`"${command}": ${String(error)}`, { cause: error });
        this.#world.say(`STOPPED ${error.message}`);
      }
      if (!this.#frozen) this.#advance(1);
    }
    const text = this.#world.output.join("\n");
    this.#world.output = [];
    return text === "" ? "ok" : text;
  }

  #advance(ms: number): void {
    this.#world.nowMs += ms;
    this.#world.elapsedMs += ms;
  }

  #each(name: string | undefined): ScriptPeer[] {
    const { peers } = this.#world;
    return name === "all" ? [...peers.values()].filter((peer) => peer.replica !== undefined) : [this.#world.peer(name)];
  }

  #command(text: string): void {
    const world = this.#world;
    const [verb = "", ...words] = text.split(/\s+/);
    const [first, second, third] = words;
    switch (verb) {
      case "peers": {
        const names = words.filter((word) => /^[a-z]$/.test(word));
        const journal = words.find((word) => word.startsWith("journal="));
        if (journal !== undefined) this.#journalMax = Number(journal.slice(8));
        world.create(names);
        for (const name of names) this.#start(name, !words.includes("gated"));
        if (!words.includes("unlinked")) this.#heal("all", undefined);
        return world.deliverAll();
      }
      case "write":
      case "delete":
      case "incr":
        return this.#onPeer(first, () => this.#op([verb, ...words.slice(1)]));
      case "exec": {
        const body = /\{(.*)\}/.exec(text)?.[1] ?? "";
        const ops = body.split(";").map((op) => op.trim().split(/\s+/));
        return this.#onPeer(first, () => {
          for (const op of ops) this.#op(op);
        });
      }
      case "get":
        return this.#onPeer(first, (replica) =>
          world.say(`${second}=${replica.keyspace.get(second as string) ?? "(nil)"}`),
        );
      case "deliver":
        if (first === "all") return world.deliverAll();
        return this.#deliver(first as string, second === undefined ? Number.POSITIVE_INFINITY : Number(second));
      case "hold":
      case "release": {
        const [from, to] = (first as string).split("->");
        if (world.linkBetween(world.peer(from), world.peer(to)) === undefined) return world.say("no such link");
        const [link, side] = world.side(from, to);
        link.held[side] = verb === "hold";
        return undefined;
      }
      case "block":
      case "unblock": {
        const [link, side] = this.#arrow(first as string);
        const id = link.ids[side];
        if (id !== undefined) link.ends[side].replica?.linkBlocked(id, verb === "block");
        return world.pump();
      }
      case "cut":
        return this.#cut(first, second, third === "oneway");
      case "heal":
        return this.#heal(first, second);
      case "sync":
        for (const peer of this.#each(first)) world.sync(peer);
        return world.pump();
      case "heartbeat":
        return this.#heartbeat(this.#each(first));
      case "gossip":
        return this.#gossip(Number(first ?? 1));
      case "checkpoint":
        return this.#checkpoint(world.peer(first), second);
      case "purge":
        return this.#purge(world.peer(first));
      case "trim":
        return this.#trim(world.peer(first));
      case "scan":
        world.scan(world.peer(first), 1);
        return undefined;
      case "crash":
        return world.crash(world.peer(first), second as "kill", {
          keep: Number(after(words, "keep") ?? 0),
          lateReader: after(words, "late"),
        });
      case "restart":
        this.#start(
          first as string,
          words.includes("bootstrap"),
          words.includes("torn") ? Number(after(words, "torn")) : undefined,
        );
        for (const other of world.peers.keys())
          if (other !== first && !this.#isCut(first, other)) this.#link(first, other);
        return undefined;
      case "backup": {
        const peer = world.peer(first);
        world.sync(peer);
        world.pump();
        peer.backup = peer.storage.snapshot();
        return undefined;
      }
      case "restore-backup": {
        const peer = world.peer(first);
        if (peer.backup === undefined) throw new Error("no backup");
        peer.storage.restore(peer.backup);
        peer.rolledBack = true;
        return undefined;
      }
      case "clock":
        world.peer(first).skewMs += Number(second);
        return undefined;
      case "tick":
        return this.#tick(Number(first));
      case "freeze":
      case "flow":
        this.#frozen = verb === "freeze";
        return undefined;
      case "show":
        return this.#show(this.#each(first));
      case "conflicts":
        return this.#conflicts(this.#world.up(first));
      case "restore":
        return this.#onPeer(first, (replica) => {
          const found = replica.conflicts(undefined).find(({ id }) => world.dotText(id) === second);
          if (found === undefined || !replica.restoreConflict(found.id)) world.say("no such conflict");
        });
      case "stat":
        for (const peer of this.#each(first)) {
          const replica = world.up(peer.name);
          world.say(
            `${peer.name}: ${words
              .slice(1)
              .map((name) => `${name} ${this.#stat(replica, name)}`)
              .join(", ")}`,
          );
        }
        return undefined;
      case "links":
        for (const link of world.up(first).links()) {
          const staging =
            link.staging === undefined
              ? ""
              : ` staging ${link.staging.cellCount} cell(s) ${link.staging.frames.length} frame(s)`;
          world.say(
            `${link.peer}: ${link.ready ? "" : "not ready, "}sends ${link.out.mode}, waiting ${link.waiting.length}${staging}`,
          );
        }
        return undefined;
      case "diff":
        world.up(first).compare(world.peer(second).name);
        world.pump();
        return world.deliverAll();
      case "judge":
        return this.#judge(world.peer(first));
      case "trace":
        world.traced = first === "on";
        return undefined;
      case "corrupt":
        return this.#corrupt(world.up(first), second as string, third as string);
      case "forge":
        return this.#forge(first as string, words.slice(1));
      default:
        throw new Error(`unknown command "${verb}"`);
    }
  }

  // ---- commands of clients --------------------------------------------------------------------------------------------

  #replica: Replica | undefined;

  #onPeer(name: string | undefined, work: (replica: Replica) => void): void {
    const world = this.#world;
    const replica = world.up(name);
    world.touch(world.peer(name));
    if (replica.state.gated) {
      world.say(`${name} refuses: gated`);
      return;
    }
    replica.keyspace.begin(replica.state.nowMs);
    this.#replica = replica;
    work(replica);
    world.pump();
  }

  #op([verb, key = "", value = "", ...rest]: readonly string[]): void {
    const replica = this.#replica as Replica;
    const { keyspace } = replica;
    if (verb === "delete") {
      if (!keyspace.delete(key)) this.#world.say(`${key} is not there`);
      return;
    }
    if (verb === "incr") {
      const result = keyspace.increment(key, BigInt(value));
      this.#world.say(result.ok ? `${key}=${result.value}` : `${key}: ${result.error}`);
      return;
    }
    if (verb !== "write") throw new Error(`unknown op "${verb}"`);
    keyspace.set(key, value, rest[0] === "px" ? keyspace.nowMs + Number(rest[1]) : 0);
  }

  // ---- links ----------------------------------------------------------------------------------------------------------

  readonly #cuts = new Set<string>();

  #isCut(a: string | undefined, b: string | undefined): boolean {
    return this.#cuts.has([a, b].sort().join());
  }

  #link(a: string | undefined, b: string | undefined): void {
    const world = this.#world;
    const old = world.linkBetween(world.peer(a), world.peer(b));
    // A reader that has not seen the old link's end yet keeps it until it is healed.
    if (old !== undefined && (old.ids[0] === undefined || old.ids[1] === undefined)) return;
    world.connect(world.peer(a), world.peer(b));
  }

  #cut(a: string | undefined, b: string | undefined, oneway: boolean): void {
    const world = this.#world;
    if (oneway) {
      const [link, side] = world.side(a, b);
      link.cut[side] = true;
      link.queues[side] = [];
      return;
    }
    this.#cuts.add([a, b].sort().join());
    const link = world.linkBetween(world.peer(a), world.peer(b));
    if (link !== undefined) world.drop(link);
  }

  #heal(a: string | undefined, b: string | undefined): void {
    const world = this.#world;
    const names = [...world.peers.keys()];
    for (const one of names) {
      for (const other of names) {
        if (one >= other || (a !== "all" && !([a, b].includes(one) && [a, b].includes(other)))) continue;
        this.#cuts.delete([one, other].sort().join());
        const link = world.linkBetween(world.peer(one), world.peer(other));
        const isWhole = link !== undefined && link.ids[0] !== undefined && link.ids[1] !== undefined;
        if (isWhole) link.cut[0] = link.cut[1] = false;
        else world.connect(world.peer(one), world.peer(other));
      }
    }
  }

  #arrow(text: string): ReturnType<ScriptWorld["side"]> {
    const [from, to] = text.split("->");
    return this.#world.side(from, to);
  }

  #deliver(arrow: string, countMax: number): void {
    const [link, side] = this.#arrow(arrow);
    const count = Math.min(countMax, link.queues[side].length);
    for (let index = 0; index < count; index++) this.#world.deliverOne(link, side);
  }

  #heartbeat(peers: readonly ScriptPeer[]): void {
    for (const peer of peers) {
      this.#world.touch(peer);
      peer.replica?.heartbeat();
    }
    this.#world.pump();
  }

  #tick(ms: number): void {
    this.#advance(ms);
    for (const peer of this.#each("all")) {
      this.#world.touch(peer);
      peer.replica?.tick();
    }
    this.#world.pump();
  }

  #gossip(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      this.#tick(300);
      for (const peer of this.#each("all")) this.#world.sync(peer);
      this.#heartbeat(this.#each("all"));
      this.#world.deliverAll();
    }
  }

  // ---- disk -----------------------------------------------------------------------------------------------------------

  #start(name: string, bootstrap: boolean, tornAt?: number): void {
    const journalMax = this.#journalMax;
    const options = tornAt === undefined ? { bootstrap, journalMax } : { bootstrap, journalMax, tornAt };
    this.#world.start(this.#world.peer(name), options);
  }

  #checkpoint(peer: ScriptPeer, part: string | undefined): void {
    const world = this.#world;
    const { storage } = peer;
    const { checkpointer, segmentNote } = {
      checkpointer: world.up(peer.name).checkpointer,
      segmentNote: () => world.up(peer.name).segmentNote(),
    };
    world.pump();
    if (part === undefined || part === "begin") {
      // A segment of its own, so that trim() can cut exactly here.
      storage.log.roll(segmentNote());
      checkpointer.begin();
    }
    world.sync(peer);
    if (part === undefined || part === "slice") {
      for (let entries = checkpointer.slice(1 << 20); entries.length > 0; entries = checkpointer.slice(1 << 20)) {
        storage.writeNow(entries);
      }
    }
    if (part === undefined || part === "end") {
      const entries = checkpointer.end();
      if (entries.length === 0) world.say(`${peer.name}: no checkpoint under way`);
      storage.writeNow(entries);
      checkpointer.finished();
    }
    world.pump();
  }

  #purge(peer: ScriptPeer): void {
    const replica = this.#world.up(peer.name);
    replica.state.map.settleHorizon(Number.POSITIVE_INFINITY);
    const before = replica.state.counts["purged"] ?? 0;
    replica.purger.begin();
    while (replica.purger.pending > 0) replica.purger.slice(1000);
    this.#world.say(`${peer.name} purged ${(replica.state.counts["purged"] ?? 0) - before}`);
  }

  /** As far as the checkpoint allows, whoever still needs it: what --log-retention does. */
  #trim(peer: ScriptPeer): void {
    const replica = this.#world.up(peer.name);
    const { log } = peer.storage;
    log.trimNow(replica.trimLsn(true));
    replica.logTrimmed(log.firstLsn);
  }

  // ---- looking --------------------------------------------------------------------------------------------------------

  /** Peers that hold the same are shown together. */
  #show(peers: readonly ScriptPeer[]): void {
    const groups = new Map<string, string[]>();
    for (const { name, replica } of peers) {
      const text = replica === undefined ? "down" : this.#stateText(replica);
      groups.set(text, [...(groups.get(text) ?? []), name]);
    }
    for (const [text, names] of groups) this.#world.say(`${names.join(" ")}: ${text}`);
  }

  #stateText(replica: Replica): string {
    const { state } = replica;
    const { map } = state;
    map.checkInvariants();
    const cells: string[] = [];
    map.walk(0, Number.POSITIVE_INFINITY, (ref) => {
      cells.push(this.#cellText(replica, ref));
      return false;
    });
    const gate = state.gated ? " gated" : "";
    return [`${this.#world.vvText(replica, state.sealedVv())}${gate}`, ...cells.sort()].join(" | ");
  }

  #cellText(replica: Replica, ref: number): string {
    const { map } = replica.state;
    const key = map.keyAt(ref);
    const dot = (origin: number, seq: number): string =>
      `${this.#world.originText(replica.state.origins.id(origin))}:${seq}`;
    const base = map.baseAt(ref);
    const held = map.heldAt(ref);
    replica.keyspace.begin(replica.state.nowMs);
    const visible = replica.keyspace.get(key);
    const parts = [visible === undefined ? `${key} gone` : `${key}=${visible}`];
    const expiresAtMs = map.expiryAt(ref);
    if (base !== undefined) {
      const value =
        held instanceof CounterCell && held.totals.length > 0 && base !== null
          ? `${base}@`
          : base === null
            ? "del@"
            : "@";
      parts.push(value + dot(map.originAt(ref), map.seqAt(ref)));
      if (expiresAtMs !== 0) parts.push(expiresAtMs <= replica.state.nowMs ? "expired" : "expires");
    }
    if (held instanceof CounterCell) {
      const totals = held.totals.map((total) => {
        const seen = held.observed.find(({ origin, first }) => origin === total.origin && first === total.first);
        const observed = seen === undefined ? "" : ` seen ${seen.sum}`;
        return `${dot(total.origin, total.first)}..${total.seq}:${total.sum}${observed}`;
      });
      if (totals.length > 0) parts.push(`{${totals.sort().join(", ")}}`);
    }
    return parts.join(" ");
  }

  #conflicts(replica: Replica): void {
    const world = this.#world;
    const conflicts = replica.conflicts(undefined);
    if (conflicts.length === 0) world.say("none");
    for (const { id, key, loser, winner, why, restored } of conflicts) {
      const value = (text: string | undefined): string => (text === undefined ? "(deleted)" : `"${text}"`);
      world.say(
        `${world.dotText(id)} ${key}: ${value(loser.value)} lost to ${value(winner.value)}@${world.dotText(winner.dot)}, ${why}${restored ? ", restored" : ""}`,
      );
    }
  }

  #stat(replica: Replica, name: string): string {
    const world = this.#world;
    const { state } = replica;
    switch (name) {
      case "tombstones":
        return `${state.map.tombstoneCount}`;
      case "cells":
        return `${state.map.cellCount}`;
      case "floor":
        return world.vvText(replica, state.floor);
      case "purgeable":
        return world.vvText(replica, state.purgeable);
      case "stable":
        state.facts.recount(state.vv);
        return world.vvText(replica, state.facts.stable(state.vv));
      case "missing": {
        state.facts.recount(state.vv);
        const missing = state.facts.peers.filter((_peer, index) => !state.facts.counts(index));
        return missing.length === 0 ? "none" : missing.join(" ");
      }
      case "journal":
        return `${state.journal.count} kept ${state.journal.dropped} dropped`;
      case "log": {
        const { log } = world.peer(state.name).storage;
        return `${log.firstLsn}..${log.nextLsn - 1} synced ${log.syncedLsn - 1}`;
      }
      case "streamable":
        return `from ${state.logIndex.startLsn}`;
      case "ahead":
        return `${Math.max(0, stampToMs(state.clock.last) - state.nowMs)} ms`;
      case "holding":
        return `${replica.peersHolding(state.lastSeq)}`;
      case "sees": {
        const [run = ""] = [...world.peers.keys()];
        return `${at(state.vv, state.origins.number(world.originOf(`${run}1`)))}`;
      }
      default:
        return `${state.counts[name] ?? 0}`;
    }
  }

  #judge(peer: ScriptPeer): void {
    const replica = this.#world.up(peer.name);
    const offsetsMs = [...replica.links()].map(({ peer: other }) => ({
      peer: other,
      offsetMs: this.#world.peer(other).skewMs - peer.skewMs,
    }));
    const aheadMs = stampToMs(replica.state.clock.last) - (this.#world.nowMs + peer.skewMs);
    const verdict = judgeClock({ offsetsMs, peersCount: this.#world.peers.size, aheadMs, skewMaxMs: clockSkewMaxMs });
    this.#world.say(`${peer.name}: ${verdict.state}${verdict.state === "ok" ? "" : `, ${verdict.why}`}`);
  }

  // ---- doing wrong ----------------------------------------------------------------------------------------------------

  #corrupt(replica: Replica, key: string, value: string): void {
    const { map } = replica.state;
    const ref = map.locate(key);
    if (ref < 0) throw new Error(`no cell ${key}`);
    if (value === "drop") map.remove(ref);
    else {
      const cell = map.cellAt(ref);
      map.putBase(ref, value, cell.stamp, cell.origin, cell.seq, cell.expiresAtMs, cell.observed);
    }
  }

  /** Bytes on a link that the sender never made. */
  #forge(arrow: string, [what, dot = "", key = "k", value = ""]: readonly string[]): void {
    const world = this.#world;
    const [link, side] = this.#arrow(arrow);
    const [from = ""] = arrow.split("->");
    if (what === "hex") {
      world.hand(link.ends[1 - side] as ScriptPeer, link, 1 - side, Buffer.from(dot, "hex"));
      return;
    }
    const [run = "", seq = "1"] = dot.split(":");
    const origin = world.originOf(run);
    let bytes: Uint8Array;
    if (what === "frame") {
      const writer = new FrameWriter(framesKind);
      writer.open(origin, Number(seq), []);
      writer.set(msToStamp(world.nowMs) + this.#forged++, key, value, 0, undefined);
      bytes = writer.seal().message;
    } else {
      const { clock } = world.up(from).state;
      const vv = [[origin, Number(seq)]] as const;
      bytes = encodeLinkMessage({
        kind: "heartbeat",
        vv,
        clock: clock.last,
        gated: false,
        facts: [],
        digest: undefined,
      });
    }
    world.hand(link.ends[1 - side] as ScriptPeer, link, 1 - side, bytes);
  }
}

const after = (words: readonly string[], word: string): string | undefined => {
  const index = words.indexOf(word);
  return index < 0 ? undefined : words[index + 1];
};
