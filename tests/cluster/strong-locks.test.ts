/**
 * Locks and counters on strong keys through the client, while peers are killed: never two holders, tokens that only grow,
 * each increment counted once.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChorusError, type Client, connect, type Lock } from "../../protocol/client.ts";
import { until } from "../support/processes.ts";
import { quickLinks, type RealCluster, withCluster } from "../support/real-cluster.ts";

const timeoutMs = 60_000;
const ttlMs = 3000;

/** Each begins at another peer. */
const connectAt = (cluster: RealCluster, index: number): Promise<Client> => {
  const addresses = cluster.peers.map(({ httpPort }) => `127.0.0.1:${httpPort}`);
  return connect([...addresses.slice(index), ...addresses.slice(0, index)], { timeoutMs });
};

/** SIGKILL to the peer the client talks to, and a new start of it. */
const killPeerOf = async (cluster: RealCluster, kv: Client): Promise<void> => {
  await until("the client is connected", () => kv.state.kind === "connected", timeoutMs);
  const { state } = kv;
  const victim = cluster.peer(state.kind === "connected" ? state.peer : "");
  await victim.kill();
  await victim.start();
  await cluster.ready([victim]);
};

/** Takes the lock again and again, and writes under it. All locks of a test are in one process: one clock judges them. */
class Contender {
  readonly kv: Client;
  lock: Lock | undefined;
  writes = 0;
  lost = 0;

  constructor(kv: Client) {
    this.kv = kv;
  }

  /** `rounds`: all locks there were, of everybody. */
  async run(rounds: Lock[], isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const lock = await this.kv.lock("x", { ttlMs, waitMs: timeoutMs });
      assert(lock !== null, "it becomes free");
      for (const other of rounds) assert(!other.isHeld, `${other.token} is held, and so is ${lock.token}`);
      const before = rounds.at(-1);
      assert(before === undefined || lock.token > before.token, "tokens grow");
      rounds.push(lock);
      this.lock = lock;
      await this.#writeUnder(lock, isOver);
      await lock.release().catch(() => undefined);
      // Locks are not fair: who asks again at once mostly has it again.
      await until("the other has had it", () => isOver() || rounds.at(-1) !== lock, timeoutMs);
    }
  }

  /** Some writes, then it is another's turn. */
  async #writeUnder(lock: Lock, isOver: () => boolean): Promise<void> {
    for (let write = 0; write < 5 && lock.isHeld && !isOver(); write++) {
      try {
        await this.kv.set("strong:guarded", `${lock.token}:${write}`, { fence: lock.fence });
        this.writes += 1;
      } catch (error) {
        if (!(error instanceof ChorusError)) throw error;
        assert(error.code !== "FENCED" || !lock.isHeld, "who is fenced holds it no longer");
      }
    }
    if (lock.signal.aborted) this.lost += 1;
  }
}

test("two clients and a lock, whose peers are killed: one holder at a time, and tokens that grow", async (t) => {
  await withCluster(t, { peerOptions: quickLinks, flags: ["--strong-timeout", "1000"] }, async (cluster) => {
    const rounds: Lock[] = [];
    const contenders = await Promise.all([0, 1].map(async (index) => new Contender(await connectAt(cluster, index))));
    let isOver = false;
    const running = Promise.all(contenders.map((contender) => contender.run(rounds, () => isOver)));
    for (let kills = 0; kills < 3; kills++) {
      const before = rounds.length;
      await until("both go on", () => rounds.length >= before + 2, timeoutMs);
      const holder = contenders.find(({ lock }) => lock?.isHeld === true) ?? contenders[0];
      assert(holder !== undefined);
      await Promise.race([killPeerOf(cluster, holder.kv), running]);
    }
    isOver = true;
    await running;
    const tokens = rounds.map(({ token }) => token);
    assert.deepEqual(
      tokens,
      [...new Set(tokens)].sort((a, b) => a - b),
    );
    const [one, two] = contenders as [Contender, Contender];
    t.diagnostic(`${tokens.length} rounds, ${one.writes} and ${two.writes} writes, ${one.lost + two.lost} locks lost`);
    assert(one.writes > 0 && two.writes > 0);

    // A holder that dies: its lock runs out, and the next token is higher.
    const last = await one.kv.lock("x", { ttlMs: 1000 });
    assert(last !== null);
    await one.kv.close();
    assert.equal(last.signal.aborted, true);
    const heir = await two.kv.lock("x", { ttlMs, waitMs: timeoutMs });
    assert(heir !== null && heir.token > last.token);
    const late = await failureOf(two.kv.set("strong:guarded", "late", { fence: last.fence }));
    assert.equal(late, "nothing", "nobody wrote under the new token yet");
    await two.kv.set("strong:guarded", "new", { fence: heir.fence });
    assert.equal(await failureOf(two.kv.set("strong:guarded", "late", { fence: last.fence })), "FENCED");
    await two.kv.close();
  });
});

const failureOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "nothing",
    (error: unknown) => (error instanceof ChorusError ? error.code : String(error)),
  );

test("increments that were under way when their peer was killed count once", async (t) => {
  await withCluster(t, { peerOptions: quickLinks, flags: ["--strong-timeout", "1000"] }, async (cluster) => {
    const kv = await connectAt(cluster, 0);
    const counts: number[] = [];
    for (let kills = 0; kills < 3; kills++) {
      const counting = Array.from({ length: 10 }, () => kv.incr("strong:n").then((count) => counts.push(count)));
      // Some are answered, the others on their way.
      await Promise.race(counting);
      await Promise.all([killPeerOf(cluster, kv), ...counting]);
    }
    assert.equal(await kv.get("strong:n"), "30");
    // One whose peer did not know what became of it is answered last, with the count it had.
    assert.deepEqual(
      counts.sort((a, b) => a - b),
      Array.from({ length: 30 }, (_, index) => index + 1),
      "each its own count",
    );
    await kv.close();
  });
});
