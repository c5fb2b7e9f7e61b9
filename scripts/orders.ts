/**
 * `npm run orders`: a shop for laptops on Chorus, the worked example of docs/EXAMPLE-ORDERS.md.
 *
 *     customer --- request:c1:7 ---> store --- watch request: ---> engineer (+ expert)
 *     customer <-- watch order:c1: -- store <--- order:c1:7 ------- engineer
 *     customer --- last:c1 --------> store --- read cache ------> whoever wants to know
 *
 * Here they are all in one process; each has a connection of its own and shares nothing with the others but the experts,
 * so each could as well be one.
 */
import { randomUUID } from "node:crypto";
import { type Client, connect } from "../protocol/client.ts";
import { CommandFailure, failureText } from "../server/cli/failure.ts";
import { onStopSignals } from "../server/cli/signals.ts";
import { hostPortToText } from "../server/settings.ts";
import { findPeers } from "./load/peers.ts";
import { Latencies } from "./load/statistics.ts";
import { checkOrders } from "./orders/check.ts";
import { ClaimingEngineer } from "./orders/claiming-engineer.ts";
import { Customer } from "./orders/customer.ts";
import { Engineer } from "./orders/engineer.ts";
import { Experts } from "./orders/experts.ts";
import { helpText, type Options, parseOptions } from "./orders/options.ts";
import { claimKey, type OrderRecord } from "./orders/orders.ts";
import { isGood, type OrdersReport, reportToText } from "./orders/report.ts";
import { newCounts, Store } from "./orders/store.ts";

const say = (words: string): void => void process.stderr.write(`${words}\n`);
const firstAnswerMsMax = 3000;
const lineMs = 1000;
/** An operation on a strong key is tried for so long, at all peers. */
const strongMsMax = 60_000;
/** Orders under way get so long when no more are wanted. */
const stopMsMax = 10_000;

/** One of them answers; else there is no point in patience. */
const someoneAnswers = async (targets: readonly string[]): Promise<void> => {
  const why: string[] = [];
  for (const target of targets) {
    try {
      await (await fetch(`${target}/readyz`, { signal: AbortSignal.timeout(firstAnswerMsMax) })).arrayBuffer();
      return;
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      why.push(`${target}: ${failureText(cause) || "nobody listens there"}`);
    }
  }
  throw new CommandFailure(`${why.join("; ")}. Is npm start running? --targets says where`);
};

/** A client for strong keys: it goes to the peers, also where HTTP goes by a gateway. */
const openStrong = async ({ targets }: Options): Promise<Client> => {
  const peers = (await findPeers(targets)).map(hostPortToText);
  const { password } = targets;
  const strong = await connect(peers, { timeoutMs: strongMsMax, ...(password === undefined ? {} : { password }) });
  try {
    await strong.version(claimKey("nobody", 0));
  } catch (error) {
    await strong.close();
    throw new CommandFailure(`--claim strong: ${failureText(error)}`);
  }
  return strong;
};

const runShop = async (options: Options, stop: AbortSignal): Promise<OrdersReport> => {
  const targets = options.targets.addresses.map((address) => `http://${hostPortToText(address)}`);
  await someoneAnswers(targets);
  const ended = new AbortController();
  const failed = new AbortController();
  const onFailure = (error: unknown): void => failed.abort(error);
  const counts = newCounts();
  const { password } = options.targets;
  const open = (session = false): Store => new Store({ targets, password, counts, signal: ended.signal, session });

  const { workMs, expertMs, looks, patienceMs, type, orders } = options;
  const experts = new Experts(options.experts);
  const isStrong = options.claim === "strong";
  const strong = await Promise.all(Array.from({ length: isStrong ? options.engineers : 0 }, () => openStrong(options)));
  const run = randomUUID();
  const engineers = Array.from({ length: options.engineers }, (_, number) => {
    const own = {
      ...{ number, engineers: options.engineers, store: open(), experts },
      ...{ workMs, expertMs, signal: ended.signal },
    };
    const client = strong[number];
    return client === undefined ? new Engineer(own) : new ClaimingEngineer({ ...own, strong: client, run });
  });
  const claiming = engineers.filter((engineer) => engineer instanceof ClaimingEngineer);
  const names = Array.from({ length: options.customers }, (_, index) => `c${index + 1}`);
  const records = new Map<string, OrderRecord[]>(names.map((name) => [name, []]));
  const latencies = new Latencies();
  const onOrder = (record: OrderRecord, latencyMs: number): void => {
    latencies.record(latencyMs);
    records.get(record.customer)?.push(record);
  };
  const customers = names.map(
    (name) =>
      new Customer({
        ...{ name, orders, type, store: open(true), window: open(), others: names },
        ...{ looks, patienceMs, signal: ended.signal, onOrder },
      }),
  );

  const failure = new Promise<never>((_resolve, reject) => {
    failed.signal.addEventListener("abort", () => reject(failed.signal.reason));
  });
  const working = engineers.map(
    (engineer) => new Promise<void>((resolve) => void engineer.run(resolve).catch(onFailure)),
  );
  // Who is asked to stop waits a little for what is under way; a store that does not answer could keep it for ever.
  const stopped = new Promise<"stopped">((resolve) => {
    stop.addEventListener("abort", () => setTimeout(() => resolve("stopped"), isOpen ? stopMsMax : 0).unref());
  });
  let isOpen = false;
  const opening = Promise.all(working).then(() =>
    Promise.all(customers.map((customer) => customer.open(onFailure))).then(() => "open" as const),
  );
  if ((await Promise.race([failure, opening, stopped])) === "stopped")
    throw new CommandFailure("stopped before the first order");
  isOpen = true;

  const startedMs = performance.now();
  const wanted = options.customers * orders;
  const line = setInterval(() => {
    const done = latencies.count;
    say(
      `${((performance.now() - startedMs) / 1000).toFixed(0).padStart(4)} s  ${done} of ${wanted} orders  mean ${latencies.summary().meanMs.toFixed(1)} ms`,
    );
  }, lineMs);
  let seconds = 0;
  try {
    await Promise.race([failure, stopped, Promise.all(customers.map((customer) => customer.run(stop)))]);
  } finally {
    clearInterval(line);
    seconds = Math.max(0.001, (performance.now() - startedMs) / 1000);
    ended.abort();
  }
  return {
    format: 1,
    seconds,
    orders: latencies.count,
    wanted,
    custom: [...records.values()].flat().filter(({ type: kind }) => kind === "custom").length,
    latency: latencies.summary(),
    ordersPerSecond: latencies.count / seconds,
    madeBy: engineers.map(({ made }) => made),
    mostExpertsAtWork: experts.mostAtWork,
    claims: isStrong
      ? {
          beaten: claiming.reduce((sum, { beaten }) => sum + beaten, 0),
          discarded: claiming.reduce((sum, { discarded }) => sum + discarded, 0),
        }
      : null,
    cache: Object.fromEntries(counts.cache),
    placedAgain: customers.reduce((sum, { placedAgain }) => sum + placedAgain, 0),
    rewritten: engineers.reduce((sum, { rewritten }) => sum + rewritten, 0),
    repeats: counts.repeats,
    staleSessions: counts.staleSessions,
    olderReads: customers.reduce((sum, { olderReads }) => sum + olderReads, 0),
    checked: options.verify
      ? await checkOrders(
          { records, engineers: options.engineers, strong: strong[0] },
          await findPeers(options.targets),
          password,
        )
      : null,
  };
};

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(helpText);
  else {
    const stopping = new AbortController();
    onStopSignals(
      () => {
        say("no more orders; again to end at once");
        stopping.abort();
      },
      () => process.exit(130),
    );
    const report = await runShop(options, stopping.signal);
    process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${reportToText(report, options)}\n`);
    // Connections that fetch keeps would hold the process for some seconds.
    process.exit(isGood(report, stopping.signal.aborted) ? 0 : 1);
  }
} catch (error) {
  process.stderr.write(`orders: ${failureText(error)}\n`);
  process.exit(error instanceof CommandFailure ? error.exitCode : 1);
}
