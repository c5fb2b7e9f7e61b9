/** Afterwards: is every order recorded, once, alike, at every peer? Read at the peers themselves, not by the gateway. */
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../../protocol/client.ts";
import { failureText } from "../../server/cli/failure.ts";
import { type HostPort, hostPortToText } from "../../server/settings.ts";
import { RespConnection } from "../bench/resp-connection.ts";
import { statusOf } from "../load/peers.ts";
import { claimKey, engineerOf, lastKey, type OrderRecord, orderKey, parseRecord } from "./orders.ts";

/** What must be there, from what the customers saw. */
export interface Expected {
  /** As the customer got them, in its order. */
  readonly records: ReadonlyMap<string, readonly OrderRecord[]>;
  readonly engineers: number;
  /** With `--claim strong`: the strong keys say who made what. */
  readonly strong: Client | undefined;
}

export interface Checked {
  readonly orders: number;
  readonly peers: readonly string[];
  readonly complaints: readonly string[];
  readonly wrong: number;
}

/** How long a peer that was away may take to get what it missed. */
const settleMsMax = 60_000;
const complaintsMax = 20;
const batchKeys = 500;

export const checkOrders = async (
  expected: Expected,
  peers: readonly HostPort[],
  password: string | undefined,
): Promise<Checked> => {
  const orders = [...expected.records.values()].reduce((sum, { length }) => sum + length, 0);
  const deadlineMs = performance.now() + settleMsMax;
  for (;;) {
    const perPeer = peers.map((peer) => checkPeer(expected, peer, password));
    const complaints = (await Promise.all([...perPeer, checkClaims(expected)])).flat();
    if (complaints.length === 0 || performance.now() > deadlineMs)
      return {
        orders,
        peers: peers.map(hostPortToText),
        complaints: complaints.slice(0, complaintsMax),
        wrong: complaints.length,
      };
    await delay(200);
  }
};

const checkPeer = async (
  { records, engineers, strong }: Expected,
  http: HostPort,
  password: string | undefined,
): Promise<string[]> => {
  const name = hostPortToText(http);
  const complaints: string[] = [];
  let connection: RespConnection | undefined;
  try {
    const tcpPort = (await statusOf(http))?.peer.tcpPort;
    if (tcpPort === undefined) return [`peer ${name} does not answer`];
    connection = await RespConnection.open(tcpPort, 2000, http.host);
    if (password !== undefined) await connection.call("AUTH", password);
    for (const [customer, own] of records) {
      for (let from = 0; from < own.length; from += batchKeys) {
        const batch = own.slice(from, from + batchKeys);
        const found = await connection.call("MGET", ...batch.map(({ n }) => orderKey(customer, n)));
        for (const [index, record] of batch.entries()) {
          const text: unknown = Array.isArray(found) ? found[index] : null;
          const isByName = strong === undefined;
          const words = misfit(record, typeof text === "string" ? text : undefined, isByName ? engineers : undefined);
          if (words !== undefined) complaints.push(`order ${record.n} of ${customer} at ${name} ${words}`);
        }
      }
      const last = await connection.call("GET", lastKey(customer));
      const lastN = typeof last === "string" ? parseRecord(last)?.n : undefined;
      if (own.length > 0 && lastN !== own.at(-1)?.n)
        complaints.push(`the last order of ${customer} at ${name} is ${lastN ?? "none"}, not ${own.at(-1)?.n}`);
    }
  } catch (error) {
    complaints.push(`peer ${name}: ${failureText(error)}`);
  } finally {
    connection?.close();
  }
  return complaints;
};

/** What a majority decided on is what the customer was given. */
const checkClaims = async ({ records, strong }: Expected): Promise<string[]> => {
  if (strong === undefined) return [];
  const complaints: string[] = [];
  for (const [customer, own] of records) {
    for (const record of own) {
      const held = await strong.get(claimKey(customer, record.n)).catch((error: unknown) => failureText(error));
      const decided = held === null ? undefined : parseRecord(held);
      if (JSON.stringify(decided) !== JSON.stringify(record))
        complaints.push(`order ${record.n} of ${customer} was decided to be another: ${held ?? "none"}`);
    }
  }
  return complaints;
};

/** The very record its customer was given: another one would mean that it was made twice. `engineers`: made by name. */
const misfit = (given: OrderRecord, text: string | undefined, engineers: number | undefined): string | undefined => {
  if (text === undefined) return "is missing";
  const found = parseRecord(text);
  if (found === undefined) return "is no record";
  if (JSON.stringify(found) !== JSON.stringify(given)) return `is another than its customer was given: ${text}`;
  if (engineers !== undefined && found.engineer !== engineerOf(found.customer, found.n, engineers))
    return "was made by an engineer it is not of";
  return (found.expert === undefined) === (found.type === "regular")
    ? undefined
    : "has an expert it should not have, or none";
};
