/**
 * What is done to the peers while clients work: one blow after the other from a seeded deck, each undone before the next.
 *
 * Most leave a majority: its clients must be served on. Some leave none, by death, by standing still or by cut links; then
 * NOQUORUM must be told and nothing may be acknowledged. Once a disk is lost: that peer's registers must stay silent until
 * it is readmitted, and count from then on.
 */
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../../tests/support/processes.ts";
import type { RealCluster, RealPeer } from "../../../tests/support/real-cluster.ts";
import type { Random } from "../../sim/random.ts";
import type { StrongClient } from "./client.ts";
import type { Recorder } from "./recorder.ts";

export interface BlowsOptions {
  readonly cluster: RealCluster;
  readonly recorder: Recorder;
  readonly random: Random;
  readonly keys: readonly string[];
  /** Asks on our behalf, at no peer in particular. */
  readonly probe: (peer: RealPeer) => StrongClient;
  readonly strongTimeoutMs: number;
  readonly say: (words: string) => void;
}

const returnMsMax = 60_000;
/** A slow machine is no fault; an answer that comes when the majority is back is none. */
const lateMsMax = 6000;
/** Between the stroke and the moment from which it surely holds: signals and sockets take a while. */
const settleMs = 150;

export class Blows {
  readonly #options: BlowsOptions;
  readonly dealt = new Map<string, number>();
  #deck: (() => Promise<void>)[] = [];

  constructor(options: BlowsOptions) {
    this.#options = options;
  }

  /** Deals the next blow; resolves when it is undone. */
  async next(): Promise<void> {
    if (this.#deck.length === 0) this.#deck = this.#shuffled();
    await this.#deck.pop()?.();
  }

  /** Rare ones are as good as common ones at finding faults, dear ones are few. */
  #shuffled(): (() => Promise<void>)[] {
    const deck = [
      () => this.#killOne(),
      () => this.#killOne(),
      () => this.#killOne(),
      () => this.#stopOne(),
      () => this.#stopOne(),
      () => this.#cutLink("SEND"),
      () => this.#cutLink("BOTH"),
      () => this.#cutOff("BOTH"),
      () => this.#cutOff("SEND"),
      () => this.#cutOff("RECEIVE"),
      () => this.#killMajority(),
      () => this.#stopMajority(),
      () => this.#stopAndKill(),
      () => this.#cutApart(),
      () => this.#killAll(),
    ];
    const { random } = this.#options;
    for (let at = deck.length - 1; at > 0; at--) {
      const other = random.int(at + 1);
      [deck[at], deck[other]] = [deck[other] as () => Promise<void>, deck[at] as () => Promise<void>];
    }
    return deck;
  }

  // ---- a minority is struck -----------------------------------------------------------------------------------------------

  async #killOne(): Promise<void> {
    const [victim] = this.#victims(1);
    await this.#struck("kill -9", [victim], async () => {
      await victim.kill();
      await delay(this.#options.random.int(2500));
    });
    await this.#start([victim]);
  }

  async #stopOne(): Promise<void> {
    const [victim] = this.#victims(1);
    await this.#struck("SIGSTOP", [victim], async () => {
      victim.pause();
      await delay(300 + this.#options.random.int(4500));
    });
    victim.resume();
  }

  // ---- links --------------------------------------------------------------------------------------------------------------

  /** Both ends still reach a majority, by the others. */
  async #cutLink(direction: "SEND" | "BOTH"): Promise<void> {
    const [one, other] = this.#victims(2) as [RealPeer, RealPeer];
    await this.#struck(direction === "BOTH" ? "link cut" : "link cut one way", [], async () => {
      await this.#cut(one, [other], direction);
      await delay(800 + this.#options.random.int(2500));
    });
    await this.#heal(one);
  }

  /** One peer alone: its own clients are told NOQUORUM or UNKNOWN, those of the others go on. */
  async #cutOff(direction: "SEND" | "RECEIVE" | "BOTH"): Promise<void> {
    const { cluster, random } = this.#options;
    const [victim] = this.#victims(1);
    const what = direction === "BOTH" ? "cut off" : `cut off, ${direction.toLowerCase()} only`;
    await this.#struck(what, [victim], async () => {
      await this.#cut(
        victim,
        cluster.peers.filter((peer) => peer !== victim),
        direction,
      );
      await delay(800 + random.int(3000));
    });
    await this.#heal(victim);
  }

  // ---- no majority is left ------------------------------------------------------------------------------------------------

  async #killMajority(): Promise<void> {
    const victims = this.#victims(this.#quorum);
    await this.#withoutMajority("majority killed", victims, () => Promise.all(victims.map((peer) => peer.kill())));
    await this.#start(victims);
  }

  async #stopMajority(): Promise<void> {
    const victims = this.#victims(this.#quorum);
    await this.#withoutMajority("majority stopped", victims, () => {
      for (const peer of victims) peer.pause();
    });
    for (const peer of victims) peer.resume();
  }

  async #stopAndKill(): Promise<void> {
    const [stopped, ...killed] = this.#victims(this.#quorum) as [RealPeer, ...RealPeer[]];
    await this.#withoutMajority("majority stopped or killed", [stopped, ...killed], () => {
      stopped.pause();
      return Promise.all(killed.map((peer) => peer.kill()));
    });
    // Those that died come back while it stands still, or behind it.
    if (this.#options.random.chance(0.5)) stopped.resume();
    const starting = this.#start(killed);
    await delay(200);
    stopped.resume();
    await starting;
  }

  /** The killed leave a bare majority, and a cut divides that. */
  async #cutApart(): Promise<void> {
    const { cluster } = this.#options;
    const victims = this.#victims(cluster.peers.length - this.#quorum);
    const [one, ...others] = cluster.peers.filter((peer) => !victims.includes(peer)) as [RealPeer, ...RealPeer[]];
    await this.#withoutMajority("majority cut apart", victims, async () => {
      await this.#cut(one, others, "BOTH");
      await Promise.all(victims.map((peer) => peer.kill()));
    });
    await this.#heal(one);
    await this.#start(victims);
  }

  async #killAll(): Promise<void> {
    const { peers } = this.#options.cluster;
    await this.#struck("all killed", peers, () => Promise.all(peers.map((peer) => peer.kill())), true);
    await this.#start(peers);
  }

  // ---- a disk is lost -----------------------------------------------------------------------------------------------------

  async loseDisk(): Promise<void> {
    const { cluster, recorder, random } = this.#options;
    const [victim] = this.#victims(1);
    const others = cluster.peers.filter((peer) => peer !== victim);
    const [witness] = others as [RealPeer, ...RealPeer[]];
    await this.#struck("disk lost", [victim], async () => {
      await victim.kill();
      victim.wipe();
      await victim.start();
      await cluster.ready([victim], returnMsMax);
      await this.#linked(victim);
    });
    this.#options.say(`${victim.name} is back without its registers`);
    await this.#expectStanding(victim, "lost");
    const silentUntilMs = performance.now() + 1500 + random.int(1500);
    while (performance.now() < silentUntilMs) {
      if (await this.#answers(victim, witness))
        recorder.problem(`${victim.name} lost its registers and answers a TRACE`);
      await delay(200);
    }
    // The lost one is no help: with as many dead as the cluster bears beside it, there is no majority.
    const dead = random.pick(others);
    const more = others.filter((peer) => peer !== dead).slice(0, cluster.peers.length - this.#quorum - 1);
    await this.#withoutMajority("majority dead, one disk lost", [victim, dead, ...more], () =>
      Promise.all([dead, ...more].map((peer) => peer.kill())),
    );
    await this.#start([dead, ...more]);
    await this.#struck("readmission", [victim], async () => {
      await victim.kill();
      await victim.start("--readmit-registers");
      await until(`${victim.name} is readmitted`, () => this.#answers(victim, witness), returnMsMax);
    });
    this.#options.say(`${victim.name} is readmitted`);
    await this.#expectStanding(victim, "admitted");
    await cluster.ready([victim], returnMsMax);
    // Now it must count: without it there is no majority.
    const doomed = others.slice(-(cluster.peers.length - this.#quorum));
    await this.#struck("kill -9 after readmission", doomed, async () => {
      await Promise.all(doomed.map((peer) => peer.kill()));
      const told = await this.#options.probe(victim).perform({
        key: this.#options.keys[0] as string,
        operation: { kind: "get" },
        asksVersion: false,
      });
      if (told.kind !== "done") recorder.problem(`${victim.name} was readmitted and makes no majority with the others`);
      await delay(1000);
    });
    await this.#start(doomed);
  }

  /** Whether its acceptor says what it holds of any of the keys, to another peer. */
  async #answers(peer: RealPeer, witness: RealPeer): Promise<boolean> {
    for (const key of this.#options.keys) {
      const traced = (await witness.call("TRACE", key).catch(() => [])) as readonly unknown[];
      const holders = traced[traced.indexOf("holders") + 1] as readonly unknown[] | undefined;
      const held = holders?.[holders.indexOf(peer.name) + 1];
      if (typeof held === "string" && held !== "silent") return true;
    }
    return false;
  }

  async #expectStanding(peer: RealPeer, expected: string): Promise<void> {
    const standing = (await peer.status())?.strong.standing;
    if (standing !== expected) this.#options.recorder.problem(`${peer.name} says it is ${standing}, not ${expected}`);
  }

  async #linked(peer: RealPeer): Promise<void> {
    await until(
      `${peer.name} is linked`,
      async () => (await peer.status())?.links.every(({ state }) => state === "up") === true,
      returnMsMax,
    );
  }

  // ---- how a blow goes ----------------------------------------------------------------------------------------------------

  get #quorum(): number {
    return Math.floor(this.#options.cluster.peers.length / 2) + 1;
  }

  #victims(count: number): [RealPeer, ...RealPeer[]] {
    const { cluster, random } = this.#options;
    const left = [...cluster.peers];
    return Array.from({ length: count }, () => left.splice(random.int(left.length), 1)[0] as RealPeer) as [
      RealPeer,
      ...RealPeer[],
    ];
  }

  async #struck(
    what: string,
    victims: readonly RealPeer[],
    strike: () => Promise<unknown>,
    isWithoutMajority = false,
  ): Promise<void> {
    const { recorder, say } = this.#options;
    this.dealt.set(what, (this.dealt.get(what) ?? 0) + 1);
    const struck = victims.map(({ name }) => name);
    say(`${what}${struck.length > 0 ? `: ${struck.join(", ")}` : ""}`);
    const fromNs = recorder.nowNs();
    await strike();
    // Where all die the strike itself takes a while; nothing is claimed of it.
    recorder.periods.push({
      what,
      fromNs: isWithoutMajority ? recorder.nowNs() : fromNs,
      toNs: recorder.nowNs(),
      struck,
      isWithoutMajority,
    });
  }

  /** `victims`: whom not to ask. */
  async #withoutMajority(what: string, victims: readonly RealPeer[], strike: () => unknown): Promise<void> {
    const { cluster, recorder, random, keys, strongTimeoutMs, say } = this.#options;
    this.dealt.set(what, (this.dealt.get(what) ?? 0) + 1);
    const struck = victims.map(({ name }) => name);
    say(`${what}: ${struck.join(", ")}`);
    await strike();
    await delay(settleMs);
    const fromNs = recorder.nowNs();
    const survivor = cluster.peers.find((peer) => !victims.includes(peer)) as RealPeer;
    const before = recorder.refusals.get("NOQUORUM") ?? 0;
    const isTold = (): boolean => (recorder.refusals.get("NOQUORUM") ?? 0) > before;
    const probe = this.#options.probe(survivor);
    const beganMs = performance.now();
    // One that had got further in its round is told UNKNOWN.
    for (let tries = 0; tries < 3 && !isTold(); tries++)
      await probe.perform({ key: keys[0] as string, operation: { kind: "get" }, asksVersion: false });
    const tookMs = Math.round(performance.now() - beganMs);
    if (!isTold()) recorder.problem(`${what}: ${survivor.name} told nobody NOQUORUM`);
    if (tookMs > strongTimeoutMs + lateMsMax) recorder.problem(`${what}: ${survivor.name} took ${tookMs} ms to say so`);
    await delay(random.int(1500));
    recorder.periods.push({ what, fromNs, toNs: recorder.nowNs(), struck, isWithoutMajority: true });
  }

  async #cut(from: RealPeer, others: readonly RealPeer[], direction: "SEND" | "RECEIVE" | "BOTH"): Promise<void> {
    for (const { name } of others)
      await from.call("FAULT", "LINK", "CUT", name, ...(direction === "BOTH" ? [] : [direction]));
  }

  async #heal(from: RealPeer): Promise<void> {
    for (const { name } of this.#options.cluster.peers)
      if (name !== from.name) await from.call("FAULT", "LINK", "HEAL", name);
  }

  async #start(peers: readonly RealPeer[]): Promise<void> {
    await Promise.all(peers.map((peer) => peer.start()));
    await this.#options.cluster.ready(peers, returnMsMax);
  }
}
