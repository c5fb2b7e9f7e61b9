/** A model without a terminal or a cluster: events and keys in, rows and effects out. */
import assert from "node:assert/strict";
import { readKeys } from "../../client-tui/input/keys.ts";
import { type Effect, type Event, initialModel, type Model, type Size } from "../../client-tui/model/model.ts";
import { update } from "../../client-tui/model/update.ts";
import type { WireReply } from "../../protocol/client-messages.ts";
import type { StatusLink, StatusReport } from "../../protocol/status.ts";
import { latin1ToWire } from "../../protocol/wire-text.ts";
import { statusReportOf } from "../support/status-report.ts";

export const startMs = Date.UTC(2026, 0, 2, 3, 4, 5);

/** Answers a command of the model; undefined: it stays under way. */
export type Answer = (words: readonly string[], address: string | undefined) => WireReply | undefined;

export interface DriverOptions {
  readonly size?: Size;
  readonly readOnly?: boolean;
  readonly colors?: boolean;
  readonly answer?: Answer;
}

export class ModelDriver {
  model: Model;
  nowMs = startMs;
  /** Every command asked for, oldest first. */
  readonly asked: (Effect & { readonly type: "command" })[] = [];
  readonly copied: string[] = [];
  answer: Answer;

  constructor({
    size = { columns: 80, rows: 24 },
    readOnly = false,
    colors = false,
    answer = () => undefined,
  }: DriverOptions = {}) {
    this.model = initialModel({ size, readOnly, colors, nowMs: startMs });
    this.answer = answer;
  }

  event(event: Event): this {
    const { model, effects } = update(this.model, event, this.nowMs);
    this.model = model;
    for (const effect of effects) {
      if (effect.type === "copy") {
        this.copied.push(effect.text);
        continue;
      }
      this.asked.push(effect);
      const reply = this.answer(effect.words, effect.address);
      if (reply === undefined) continue;
      const isError = typeof reply === "object" && reply !== null && "error" in reply;
      if (isError)
        this.event({ type: "refused", purpose: effect.purpose, error: { ...reply.error, outcome: "not-applied" } });
      else this.event({ type: "replied", purpose: effect.purpose, reply });
    }
    return this;
  }

  /** What a person types, as the terminal sends it. */
  type(...texts: readonly string[]): this {
    for (const text of texts) for (const key of readKeys(text, true).keys) this.event({ type: "key", key });
    return this;
  }

  later(ms: number): this {
    this.nowMs += ms;
    return this.event({ type: "second" });
  }

  connect(name = "a"): this {
    const address = addressOf(name);
    return this.event({ type: "connected", peer: { name, address, cluster: "demo", version: "0.1.0" } });
  }

  report(report: StatusReport): this {
    return this.event({ type: "status", address: addressOf(report.peer.name), report });
  }

  /** Commands asked for since the last look, as lines. */
  takeAsked(): string[] {
    const lines = this.asked.map(
      ({ words, address }) => words.join(" ") + (address === undefined ? "" : ` @${address}`),
    );
    this.asked.length = 0;
    return lines;
  }
}

export const addressOf = (name: string): string => `127.0.0.1:${6001 + name.charCodeAt(0) - "a".charCodeAt(0)}`;

export const linkOf = (peer: string, change: Partial<StatusLink> = {}): StatusLink => ({
  peer,
  state: "up",
  address: addressOf(peer),
  rttMs: 0.4,
  clockOffsetMs: 0,
  lagOps: 0,
  lagMs: 0,
  behindOps: 0,
  verdict: "identical",
  incarnation: "0abc1234567xyz0",
  gated: false,
  tombstonesHeld: 0,
  queuedBytes: 0,
  why: "",
  fault: "none",
  ...change,
});

export const reportOf = (name: string, change: Partial<StatusReport> = {}): StatusReport =>
  statusReportOf(name, {
    peer: {
      ...statusReportOf(name).peer,
      incarnation: "0abc1234567xyz0",
      cluster: "demo",
      pid: 4711,
      uptimeSeconds: 725,
    },
    keys: 1234,
    digest: { value: "5d3f01c2a4b6e890", horizon: 1 },
    versionVector: { "a.0abc1234567xyz0": 12 },
    links: ["a", "b", "c"].filter((peer) => peer !== name).map((peer) => linkOf(peer)),
    memory: { usedBytes: 12 * 1024 * 1024, rssBytes: 0, maxBytes: 0 },
    opsPerSecond: 1200,
    latency: { p50Ms: 0.2, p99Ms: 0.8, maxMs: 3, count: 12_000 },
    clients: { tcp: 1, webSocket: 1, blocked: 0, watches: 1 },
    peers: ["a", "b", "c"].map((peer) => ({ name: peer, address: addressOf(peer) })),
    ...change,
  });

/** SCAN, GETRANGE and the like over a map in memory. */
export const answersOf =
  (map: Map<string, string>, pageSize = 1000): Answer =>
  (words) => {
    const [name = "", key = "", ...rest] = words;
    switch (name) {
      case "SCAN": {
        const at = Number(key);
        const pattern = rest[0] === "MATCH" ? (rest[1] ?? "*") : "*";
        const keys = [...map.keys()];
        const page = keys.slice(at, at + pageSize).filter((entry) => simpleGlob(pattern, entry));
        return [at + pageSize >= keys.length ? "0" : String(at + pageSize), page.map(latin1ToWire)];
      }
      case "GETRANGE":
        return latin1ToWire((map.get(key) ?? "").slice(Number(rest[0]), Number(rest[1]) + 1));
      case "STRLEN":
        return (map.get(key) ?? "").length;
      case "PTTL":
        return map.has(key) ? -1 : -2;
      case "TRACE":
        return map.has(key)
          ? {
              map: [
                ["key", key],
                ["state", "live"],
                ["origin", "b.0abc1234567xyz0"],
                ["dot", "b.0abc1234567xyz0:7"],
                ["written-at", "2026-01-02T03:00:00.000Z"],
                ["age-ms", 245_000],
                ["expires-at", null],
                [
                  "holders",
                  {
                    map: [
                      ["a", "durable"],
                      ["b", "memory"],
                      ["c", "not-yet"],
                    ],
                  },
                ],
              ],
            }
          : null;
      case "SET":
        if (rest.includes("NX") && map.has(key)) return null;
        if (rest.includes("XX") && !map.has(key)) return null;
        map.set(key, rest[0] ?? "");
        return { status: "OK" };
      case "DEL":
      case "UNLINK":
        return words.slice(1).filter((entry) => map.delete(entry)).length;
      case "RENAMENX": {
        const to = rest[0] ?? "";
        if (map.has(to)) return 0;
        map.set(to, map.get(key) ?? "");
        map.delete(key);
        return 1;
      }
      default:
        return undefined;
    }
  };

const simpleGlob = (pattern: string, key: string): boolean => {
  assert(/^[^?[\]\\]*$/.test(pattern));
  return new RegExp(
    `^${pattern
      .split("*")
      .map((part) => part.replaceAll(/[.+^${}()|]/g, "\\$&"))
      .join(".*")}$`,
    "s",
  ).test(key);
};
