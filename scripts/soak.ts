/**
 * `npm run soak`: an hour of mixed load on real processes with a peer killed every minute.
 *
 * Three promises are watched: nothing acknowledged is lost, the peers are identical at the end, memory and disk stay
 * flat. The first peer is never killed, so that its memory shows the whole time; the others are killed in turn, now and
 * then stopped by SIGSTOP, ended cleanly, or robbed of their data.
 *
 * The oracle is bounded: counters (acknowledged and unanswered increments), and a fixed set of keys that one client each
 * owns (what it may hold now). All else is load. Exit code: 0 all held, 1 not, 2 wrong usage.
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { dump, openCluster, type RealCluster, type RealPeer, sameEverywhere } from "../tests/support/real-cluster.ts";
import type { Outcome, RespClient } from "../tests/support/resp-client.ts";

const usage = `npm run soak -- [--minutes 60] [--peers 3] [--kill-every 60] [--rate 3000] [--clients 4] [--keys 20000] [--json]

  --minutes N      how long the load lasts
  --peers N        2 to 9
  --kill-every S   seconds between two blows
  --rate N         commands a second, all clients together
  --clients N      per peer
  --keys N         different keys of the load
  --flags "..."    for every peer, such as "--fsync always"
  --json           the summary as JSON
`;

interface Options {
  readonly minutes: number;
  readonly peers: number;
  readonly killEveryMs: number;
  readonly rate: number;
  readonly clientsPerPeer: number;
  readonly keys: number;
  readonly flags: readonly string[];
  readonly json: boolean;
}

const parseOptions = (): Options | undefined => {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "60" },
      peers: { type: "string", default: "3" },
      "kill-every": { type: "string", default: "60" },
      rate: { type: "string", default: "3000" },
      clients: { type: "string", default: "4" },
      keys: { type: "string", default: "20000" },
      flags: { type: "string", default: "" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const number = (flag: string, text: string, min: number, max: number): number => {
    const value = Number(text);
    if (!(value >= min && value <= max)) throw new RangeError(`--${flag}: expected ${min} to ${max}, got ${text}`);
    return value;
  };
  return {
    minutes: number("minutes", values.minutes, 0.05, 7 * 24 * 60),
    peers: Math.floor(number("peers", values.peers, 2, 9)),
    killEveryMs: 1000 * number("kill-every", values["kill-every"], 1, 86_400),
    rate: number("rate", values.rate, 1, 1_000_000),
    clientsPerPeer: Math.floor(number("clients", values.clients, 1, 100)),
    keys: Math.floor(number("keys", values.keys, 1, 10_000_000)),
    flags: values.flags.split(" ").filter((word) => word !== ""),
    json: values.json,
  };
};

const countersCount = 100;
const ownKeysPerClient = 200;
const samplesMax = 20_000;

// ---- Load ---------------------------------------------------------------------------------------------------------------

/** What the clients know; bounded by counters and own keys, however long it runs. */
/** Keys that expire live for 2 s and up to so long more. */
const shortMsMax = 8000;

class Oracle {
  readonly acked = new Array<number>(countersCount).fill(0);
  readonly unknown = new Array<number>(countersCount).fill(0);
  /** Of each own key, what it may hold: undefined is nothing. */
  readonly own = new Map<string, Set<string | undefined>>();
  readonly outcomes: Record<Outcome["state"], number> = { acked: 0, failed: 0, unknown: 0 };
  readonly refusals = new Map<string, number>();

  count(outcome: Outcome): void {
    this.outcomes[outcome.state]++;
    if (outcome.state !== "failed") return;
    const code = outcome.error.split(" ")[0] ?? "";
    if (this.refusals.size < 50 || this.refusals.has(code)) this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
  }

  /** What is wrong with these keys and values; empty when nothing is. */
  complaints(all: ReadonlyMap<string, string>): string[] {
    const complaints: string[] = [];
    for (let index = 0; index < countersCount; index++) {
      const found = Number(all.get(`counter:${index}`) ?? "0");
      const [acked, unknown] = [this.acked[index] ?? 0, this.unknown[index] ?? 0];
      if (found < acked || found > acked + unknown)
        complaints.push(`counter:${index} is ${found}, ${acked} acknowledged and ${unknown} unanswered`);
    }
    for (const [key, allowed] of this.own)
      if (!allowed.has(all.get(key)))
        complaints.push(`${key} is ${all.get(key)}, allowed: ${[...allowed].join(" or ")}`);
    return complaints;
  }
}

/** One client: a batch, its replies, a pause that keeps the rate. Dials again whenever its peer was away. */
class LoadClient {
  readonly peer: RealPeer;
  readonly #id: string;
  readonly #options: Options;
  readonly #oracle: Oracle;
  #serial = 0;
  isOver = false;
  isHeld = false;
  isBusy = false;

  constructor(peer: RealPeer, id: string, options: Options, oracle: Oracle) {
    this.peer = peer;
    this.#id = id;
    this.#options = options;
    this.#oracle = oracle;
  }

  async run(): Promise<void> {
    const { rate, peers, clientsPerPeer } = this.#options;
    const perSecond = rate / (peers * clientsPerPeer);
    const batch = Math.max(1, Math.round(perSecond / 20));
    let client: RespClient | undefined;
    while (!this.isOver) {
      const beganMs = performance.now();
      if (this.isHeld) {
        await delay(20);
        continue;
      }
      this.isBusy = true;
      try {
        if (client === undefined || !client.isOpen) client = await this.peer.connect();
        const connected = client;
        await Promise.all(Array.from({ length: batch }, () => this.#step(connected)));
      } catch {
        // Nobody there yet: again soon.
      }
      this.isBusy = false;
      const restMs = (batch / perSecond) * 1000 - (performance.now() - beganMs);
      await delay(Math.max(client?.isOpen === true ? 0 : 50, restMs));
    }
    client?.close();
  }

  async #step(client: RespClient): Promise<void> {
    const oracle = this.#oracle;
    const dice = Math.random();
    const key = `key:${Math.floor(Math.random() * this.#options.keys)}`;
    if (dice < 0.45) oracle.count(await client.send("GET", key));
    else if (dice < 0.5) oracle.count(await client.send("MGET", key, `${key}x`, "counter:0"));
    else if (dice < 0.7) oracle.count(await client.send("SET", key, `${this.#id}:${this.#serial++}`.padEnd(64, ".")));
    else if (dice < 0.75)
      oracle.count(await client.send("SET", `${key}:short`, "v", "PX", 2000 + Math.floor(Math.random() * shortMsMax)));
    else if (dice < 0.8) oracle.count(await client.send("DEL", key));
    else if (dice < 0.82) await this.#exec(client, key);
    else if (dice < 0.9) await this.#increment(client);
    else await this.#writeOwn(client);
  }

  async #exec(client: RespClient, key: string): Promise<void> {
    const outcomes = await client.pipeline([["MULTI"], ["SET", key, "left"], ["SET", `${key}x`, "right"], ["EXEC"]]);
    for (const outcome of outcomes) this.#oracle.count(outcome);
  }

  async #increment(client: RespClient): Promise<void> {
    const { acked, unknown } = this.#oracle;
    const index = Math.floor(Math.random() * countersCount);
    const outcome = await client.send("INCR", `counter:${index}`);
    this.#oracle.count(outcome);
    if (outcome.state === "acked") acked[index] = (acked[index] ?? 0) + 1;
    if (outcome.state === "unknown") unknown[index] = (unknown[index] ?? 0) + 1;
  }

  async #writeOwn(client: RespClient): Promise<void> {
    const { own } = this.#oracle;
    const key = `own:${this.#id}:${this.#serial++ % ownKeysPerClient}`;
    const value = Math.random() < 0.2 ? undefined : `${this.#id}:${this.#serial}`;
    const outcome = await (value === undefined ? client.send("DEL", key) : client.send("SET", key, value));
    this.#oracle.count(outcome);
    if (outcome.state === "acked") own.set(key, new Set([value]));
    if (outcome.state === "unknown") own.set(key, (own.get(key) ?? new Set([undefined])).add(value));
  }
}

// ---- Blows --------------------------------------------------------------------------------------------------------------

const blows = ["kill -9", "kill -9", "kill -9", "SIGSTOP", "kill -9", "SIGTERM", "kill -9", "lost data"] as const;

/**
 * What only this peer has is gone with its disk, acknowledged or not: that is the price of `--acks 0`. So before it loses
 * its disk its clients stop, and the others say that they hold all of it.
 */
const handOver = async (victim: RealPeer, clients: readonly LoadClient[], peers: number): Promise<void> => {
  const own = clients.filter((client) => client.peer === victim);
  for (const client of own) client.isHeld = true;
  while (own.some((client) => client.isBusy)) await delay(10);
  const client = await victim.connect();
  await client.call("SET", "handed-over", victim.name);
  const held = await client.call("WAIT", peers - 1, 30_000);
  client.close();
  if (held !== peers - 1) throw new Error(`only ${String(held)} peers hold what ${victim.name} wrote`);
};

/** Resolves when the victim serves again. */
const strike = async (
  cluster: RealCluster,
  victim: RealPeer,
  blow: (typeof blows)[number],
  clients: readonly LoadClient[],
): Promise<void> => {
  if (blow === "SIGSTOP") {
    victim.pause();
    await delay(7000);
    victim.resume();
  } else {
    if (blow === "lost data") await handOver(victim, clients, cluster.peers.length);
    if (blow === "SIGTERM") await victim.stop();
    else await victim.kill();
    if (blow === "lost data") victim.wipe();
    await delay(Math.random() * 5000);
    await victim.start();
  }
  await cluster.ready([victim], 60_000);
  for (const client of clients) client.isHeld = false;
};

// ---- Watching -----------------------------------------------------------------------------------------------------------

interface Sample {
  readonly atMs: number;
  readonly rssBytes: number;
  readonly logBytes: number;
  readonly tombstones: number;
}

const mebibytes = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** Median of the second quarter and of the last: the first is warming up. */
const growthOf = (samples: readonly Sample[], of: (sample: Sample) => number): { early: number; late: number } => {
  const quarter = Math.max(1, samples.length >> 2);
  return {
    early: median(samples.slice(quarter, 2 * quarter).map(of)),
    late: median(samples.slice(-quarter).map(of)),
  };
};

const say = (words: string): void => void process.stderr.write(`${words}\n`);

const soak = async (options: Options): Promise<number> => {
  const cluster = await openCluster({ count: options.peers, flags: options.flags });
  let isInterrupted = false;
  process.once("SIGINT", () => {
    isInterrupted = true;
    say("interrupted: ending the load");
  });
  try {
    await Promise.all(cluster.peers.map((peer) => peer.start()));
    await cluster.ready();
    const oracle = new Oracle();
    const clients = cluster.peers.flatMap((peer) =>
      Array.from(
        { length: options.clientsPerPeer },
        (_, index) => new LoadClient(peer, `${peer.name}${index}`, options, oracle),
      ),
    );
    const startedMs = performance.now();
    const endMs = startedMs + options.minutes * 60_000;
    const running = clients.map((client) => client.run());
    const [spared, ...victims] = cluster.peers as [RealPeer, ...RealPeer[]];
    const samples: Sample[] = [];
    const dealt = new Map<string, number>();
    const problems: string[] = [];
    let striking: Promise<void> | undefined;
    let nextBlowMs = startedMs + options.killEveryMs;
    let nextLineMs = startedMs;
    let ackedBefore = 0;
    let lineBeforeMs = startedMs;
    for (let blow = 0; performance.now() < endMs && !isInterrupted && problems.length === 0; ) {
      await delay(500);
      const nowMs = performance.now();
      const elapsedMs = nowMs - startedMs;
      if (nowMs >= nextBlowMs && striking === undefined) {
        const kind = blows[blow % blows.length] ?? "kill -9";
        const victim = victims[blow % victims.length] ?? spared;
        blow++;
        nextBlowMs += options.killEveryMs;
        dealt.set(kind, (dealt.get(kind) ?? 0) + 1);
        striking = strike(cluster, victim, kind, clients)
          .catch((error: unknown) => {
            problems.push(`${kind} of ${victim.name}: ${error instanceof Error ? error.message : String(error)}`);
          })
          .finally(() => {
            striking = undefined;
          });
      }
      const status = await spared.status();
      if (status === undefined) problems.push(`${spared.name} does not answer`);
      else if (samples.length < samplesMax) {
        samples.push({
          atMs: elapsedMs,
          rssBytes: status.memory.rssBytes,
          logBytes: status.log.bytes + status.checkpoint.bytes,
          tombstones: status.tombstones.count,
        });
      }
      problems.push(...cluster.peers.flatMap((peer) => peer.surprises));
      if (status !== undefined && nowMs >= nextLineMs) {
        const rate = (oracle.outcomes.acked - ackedBefore) / Math.max(0.5, (nowMs - lineBeforeMs) / 1000);
        ackedBefore = oracle.outcomes.acked;
        lineBeforeMs = nowMs;
        nextLineMs += 10_000;
        say(
          `${(elapsedMs / 60_000).toFixed(1).padStart(5)} min  ${rate.toFixed(0).padStart(6)}/s  keys ${status.keys}  ` +
            `tombstones ${status.tombstones.count}  ${spared.name}: ${mebibytes(status.memory.rssBytes)}, disk ` +
            `${mebibytes(status.log.bytes + status.checkpoint.bytes)}  conflicts ${status.conflicts.kept}+${status.conflicts.dropped}  ` +
            `blows ${[...dealt.values()].reduce((sum, count) => sum + count, 0)}  unanswered ${oracle.outcomes.unknown}`,
        );
      }
    }
    for (const client of clients) client.isOver = true;
    await striking;
    await Promise.all(running);
    const shortKeysGoneBy = Date.now() + 2000 + shortMsMax + 1000;

    // Else keys expire while one peer after the other is read.
    while (Date.now() < shortKeysGoneBy) await delay(100);
    say("load ended: comparing the peers");
    if (problems.length === 0) {
      const check = async (when: string): Promise<void> => {
        await cluster.ready();
        const all = await sameEverywhere(cluster, 120_000);
        problems.push(...oracle.complaints(all).map((complaint) => `${when}: ${complaint}`));
      };
      await check("at the end")
        .then(() => Promise.all(cluster.peers.map((peer) => peer.restart())))
        .then(() => check("after kill -9 of all"))
        .catch((error: unknown) => problems.push(error instanceof Error ? error.message : String(error)));
    }
    for (const peer of cluster.peers)
      for (const line of peer.log().split("\n"))
        if (line.includes('"level":60') || line.includes("digest differs")) problems.push(`${peer.name}: ${line}`);

    const rss = growthOf(samples, (sample) => sample.rssBytes);
    const disk = growthOf(samples, (sample) => sample.logBytes);
    // Below that, garbage not yet collected decides.
    const isFlat = rss.late <= rss.early * 1.25 + 64 * 1024 ** 2;
    if (!isFlat && samples.length >= 100)
      problems.push(`memory grew from ${mebibytes(rss.early)} to ${mebibytes(rss.late)}`);
    const summary = {
      minutes: Number(((performance.now() - startedMs) / 60_000).toFixed(2)),
      outcomes: oracle.outcomes,
      refusals: Object.fromEntries(oracle.refusals),
      blows: Object.fromEntries(dealt),
      rssBytes: rss,
      diskBytes: disk,
      tombstones: growthOf(samples, (sample) => sample.tombstones),
      keys: (await dump(spared).catch(() => new Map())).size,
      problems: problems.slice(0, 20),
    };
    if (options.json) process.stdout.write(`${JSON.stringify(summary, undefined, 2)}\n`);
    else {
      const { acked, failed, unknown } = oracle.outcomes;
      process.stdout.write(
        `${summary.minutes} min: ${acked} commands answered, ${failed} refused ${JSON.stringify(summary.refusals)}, ${unknown} unanswered\n` +
          `blows: ${JSON.stringify(summary.blows)}\n` +
          `memory of ${spared.name}: ${mebibytes(rss.early)} in the second quarter, ${mebibytes(rss.late)} in the last; ` +
          `disk ${mebibytes(disk.early)}, ${mebibytes(disk.late)}; ${summary.keys} keys\n` +
          (problems.length === 0
            ? "identical, nothing acknowledged is lost, memory is flat\n"
            : `FAILED:\n${summary.problems.join("\n")}\n`),
      );
    }
    if (problems.length > 0) say(`logs are kept in ${cluster.directory}`);
    await cluster.end({ keep: problems.length > 0 });
    return problems.length === 0 ? 0 : 1;
  } catch (error) {
    await cluster.end({ keep: true });
    throw error;
  }
};

try {
  const options = parseOptions();
  if (options === undefined) process.stdout.write(usage);
  else process.exitCode = await soak(options);
} catch (error) {
  const isUsage =
    error instanceof RangeError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") === true;
  process.stderr.write(`npm run soak: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
