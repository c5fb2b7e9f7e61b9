/**
 * `--verify`: after the run, every key that was written is read at every peer, over Redis's protocol and not by the way
 * the load went, and compared with what was acknowledged; and the peers' digests must be equal at equal vectors.
 */
import { setTimeout as delay } from "node:timers/promises";
import { failureText } from "../../server/cli/failure.ts";
import { type Verdict, verdictOf } from "../../server/cli/verdict.ts";
import { type HostPort, hostPortToText } from "../../server/settings.ts";
import { ErrorReply, type Reply, RespConnection } from "../bench/resp-connection.ts";
import type { KeySpace } from "./keys.ts";
import type { Oracle } from "./oracle.ts";
import { statusOf } from "./peers.ts";

export interface Verification {
  readonly peers: readonly string[];
  readonly keysChecked: number;
  readonly acknowledgedWrites: number;
  readonly unknownWrites: number;
  readonly identical: boolean;
  /** In the words of `chorus status`. */
  readonly verdict: string;
  /** The first of them; `wrong` counts all. */
  readonly complaints: readonly string[];
  readonly wrong: number;
}

export const isVerified = ({ identical, wrong }: Verification): boolean => identical && wrong === 0;

const identicalMsMax = 60_000;
const batchKeys = 500;
const batchesInFlightMax = 4;
const complaintsMax = 20;

export const verify = async (
  oracle: Oracle,
  space: KeySpace,
  peers: readonly HostPort[],
  password: string | undefined,
): Promise<Verification> => {
  const verdict = await untilIdentical(peers);
  const complaints: string[] = [];
  let wrong = 0;
  let keysChecked = 0;
  const complain = (words: string): void => {
    wrong++;
    if (complaints.length < complaintsMax) complaints.push(words);
  };
  for (const http of peers) {
    const name = hostPortToText(http);
    try {
      const tcpPort = (await statusOf(http))?.peer.tcpPort;
      if (tcpPort === undefined) throw new Error("it does not answer");
      keysChecked = await readAll(
        { host: http.host, port: tcpPort },
        password,
        function* () {
          for (const index of oracle.writtenKeys())
            yield { key: space.keyOf(index), judge: (found) => oracle.judgeKey(index, found) };
          for (const index of oracle.writtenCounters())
            yield { key: space.counterOf(index), judge: (found) => oracle.judgeCounter(index, found) };
        },
        (key, words) => complain(`${key} at ${name} ${words}`),
      );
    } catch (error) {
      complain(`peer ${name} could not be read: ${failureText(error)}`);
    }
  }
  return {
    peers: peers.map(hostPortToText),
    keysChecked,
    acknowledgedWrites: oracle.acknowledgedWrites,
    unknownWrites: oracle.unknownWrites,
    identical: verdict.kind === "identical",
    verdict: verdict.text,
    complaints,
    wrong,
  };
};

/** The last verdict, when they are not within the time. Others may be writing: then they never are. */
const untilIdentical = async (peers: readonly HostPort[]): Promise<Verdict> => {
  const deadlineMs = performance.now() + identicalMsMax;
  for (;;) {
    const statuses = await Promise.all(peers.map(statusOf));
    const verdict = verdictOf(
      statuses.map((status, index) => {
        const address = hostPortToText(peers[index] as HostPort);
        return status === undefined ? { address, why: "no answer" } : { address, status };
      }),
    );
    if (verdict.kind === "identical" || performance.now() > deadlineMs) return verdict;
    await delay(50);
  }
};

interface Question {
  readonly key: string;
  readonly judge: (found: string | null) => string | undefined;
}

/** How many keys were read. */
const readAll = async (
  { host, port }: HostPort,
  password: string | undefined,
  questions: () => Iterable<Question>,
  complain: (key: string, words: string) => void,
): Promise<number> => {
  const connection = await RespConnection.open(port, 5000, host);
  let count = 0;
  try {
    if (password !== undefined) await connection.call("AUTH", password);
    const flying = new Set<Promise<void>>();
    const ask = async (batch: readonly Question[]): Promise<void> => {
      const reply: Reply = await connection.call("MGET", ...batch.map(({ key }) => key));
      if (!Array.isArray(reply)) throw new Error("MGET answered no list");
      for (const [index, { key, judge }] of batch.entries()) {
        const found: unknown = reply[index];
        const words = judge(typeof found === "string" ? found : null);
        if (words !== undefined) complain(key, words);
      }
    };
    let batch: Question[] = [];
    const send = async (): Promise<void> => {
      const asked = ask(batch);
      batch = [];
      const landed = asked.finally(() => flying.delete(landed));
      // The first failure is told; those behind it have the same cause.
      landed.catch(() => undefined);
      flying.add(landed);
      if (flying.size >= batchesInFlightMax) await Promise.race(flying);
    };
    for (const question of questions()) {
      count++;
      batch.push(question);
      if (batch.length === batchKeys) await send();
    }
    if (batch.length > 0) await send();
    await Promise.all(flying);
    return count;
  } finally {
    connection.close();
  }
};

/** Writes every key once, so that reads find something; or deletes them, and the counters. At one peer. */
export const writeAll = async (
  http: HostPort,
  password: string | undefined,
  space: KeySpace,
  keys: number,
  what: "fill" | "delete",
): Promise<void> => {
  const tcpPort = (await statusOf(http))?.peer.tcpPort;
  if (tcpPort === undefined) throw new Error(`${hostPortToText(http)} does not answer`);
  const connection = await RespConnection.open(tcpPort, 5000, http.host);
  try {
    if (password !== undefined) await connection.call("AUTH", password);
    for (let from = 0; from < keys; from += batchKeys) {
      const words = [what === "fill" ? "MSET" : "DEL"];
      for (let index = from; index < Math.min(keys, from + batchKeys); index++) {
        if (what === "fill") words.push(space.keyOf(index), space.valueFor(0));
        else words.push(space.keyOf(index), space.counterOf(index));
      }
      const reply = await connection.call(...words);
      if (reply instanceof ErrorReply) throw new Error(`${words[0]}: ${reply.text}`);
    }
  } finally {
    connection.close();
  }
};
