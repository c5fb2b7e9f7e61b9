/**
 * Bytes of version 1, as they were written when it was current: every later program must read them as what they were, or
 * refuse them by their version. UPDATE_FIXTURES=1 writes them anew: only before a version is released.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { DecodeFault } from "../../protocol/bytes.ts";
import { checkFrameOps, FrameOps, frameVersion, parseFrame } from "../../protocol/frames.ts";
import { decodeLinkMessage, encodeLinkMessage, type LinkMessage } from "../../protocol/link-messages.ts";
import {
  type Incarnation,
  type OriginId,
  type PeerName,
  parseIncarnation,
  parseOriginId,
  parsePeerName,
} from "../../protocol/words.ts";
import { encodeFrame, type WrittenFrame, type WrittenOp } from "./messages.ts";

interface Sample {
  readonly name: string;
  readonly hex: string;
  readonly meaning: unknown;
}

const update = process.env["UPDATE_FIXTURES"] === "1";
const pathOf = (file: string): string => fileURLToPath(new URL(`../fixtures/${file}`, import.meta.url));
const load = (file: string): readonly Sample[] => JSON.parse(readFileSync(pathOf(file), "utf8")) as readonly Sample[];

/** As JSON can hold it: integers beyond 2^53 as text, bytes as hex. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field)]));
};

const origin = (name: string): OriginId => {
  const id = `${name}.0k2v7x1abcd0f9z`;
  assert(parseOriginId(id) !== undefined);
  return id as OriginId;
};
const a = origin("a");
const b = origin("site-2_B");
const run = parseIncarnation("0k2v7x1abcd0f9z") as Incarnation;
const peer = parsePeerName("site-2_B") as PeerName;

const op = (kind: WrittenOp["kind"], more: Partial<WrittenOp>): WrittenOp => ({
  kind,
  step: 1,
  key: "k",
  value: "",
  expiresAtMs: 0,
  observed: undefined,
  first: 1,
  sum: 0,
  ...more,
});
const stamp = 1_300_000_000_000_000;

const frames: readonly (readonly [string, WrittenFrame])[] = [
  ["one set", { origin: a, first: 1, context: [], ops: [op("set", { step: stamp, key: "city", value: "Oslo" })] }],
  [
    "a context, several ops, one stamp",
    {
      origin: b,
      first: 300,
      context: [
        [a, 1],
        [b, 2 ** 40],
      ],
      ops: [
        op("set", { step: stamp, key: "bytes \u0000\u00ff", value: "\r\n\u0080" }),
        op("set", { step: 0, key: "", value: "", expiresAtMs: 1_900_000_000_123 }),
        op("del", { step: 4096, key: "gone" }),
      ],
    },
  ],
  [
    "counters",
    {
      origin: a,
      first: 7,
      context: [[b, 301]],
      ops: [
        op("incr", { step: stamp, key: "n", first: 7, sum: 5 }),
        op("incr", { key: "n", first: 7, sum: -9_007_199_254_740_991, expiresAtMs: 1_900_000_000_000 }),
        op("incr", { key: "big", first: 9, sum: 2n ** 63n - 1n }),
        op("set", { key: "n", value: "10", observed: [{ origin: a, first: 7, seq: 8, sum: 5 }] }),
        op("del", { key: "n", observed: [{ origin: b, first: 2, seq: 2 ** 50, sum: -(2n ** 63n) }] }),
      ],
    },
  ],
  [
    "a value of 300 bytes, whose length takes two",
    { origin: a, first: 12, context: [], ops: [op("set", { step: stamp, value: "v".repeat(300) })] },
  ],
];

const vv = [
  [a, 12],
  [b, 301],
] as const;
const fact = { peer, incarnation: run, number: 3, view: [run, "" as const], vv, clock: stamp };
const messages: readonly LinkMessage[] = [
  { kind: "hello", incarnation: run, vv, clock: stamp, gated: true, empty: false },
  { kind: "hello", incarnation: run, vv: [], clock: 0, gated: false, empty: true },
  { kind: "frames", frames: Buffer.concat(frames.slice(0, 2).map(([, frame]) => encodeFrame(frame))) },
  {
    kind: "heartbeat",
    vv,
    clock: stamp,
    gated: false,
    facts: [fact],
    digest: { horizonMs: 1_900_000_000_000, first: 0xdeadbeef, second: 1 },
  },
  { kind: "heartbeat", vv: [], clock: 1, gated: true, facts: [], digest: undefined },
  { kind: "fetch", vv },
  { kind: "caught-up", vv, gated: false },
  {
    kind: "transfer-begin",
    number: 2,
    full: true,
    vv0: vv,
    contexts: [
      [a, [[b, 300]]],
      [b, []],
    ],
  },
  { kind: "transfer-cells", cells: Buffer.from("00016b01", "hex") },
  { kind: "transfer-frames", frames: Buffer.alloc(0) },
  { kind: "transfer-end", vvEnd: vv, horizonMs: 1_900_000_000_000, floor: [[a, 3]], clock: stamp },
  { kind: "transfer-stop", number: 2 },
  { kind: "sync-request" },
  { kind: "synced", vv },
  { kind: "digest-request", id: 128 },
  { kind: "digest-reply", id: 128, vv, horizonMs: 0, sums: Buffer.from("0102030405060708", "hex") },
  { kind: "keys-request", id: 1, buckets: [0, 65_535] },
  { kind: "keys-reply", id: 1, keys: [{ key: "city", first: 1, second: 0xffffffff }], more: true },
  { kind: "cells-request", keys: ["city", ""] },
  { kind: "repair-cells", cells: Buffer.from("00", "hex") },
];

const frameMeaning = (bytes: Uint8Array): unknown => {
  const frame = parseFrame(bytes);
  checkFrameOps(frame);
  const ops = new FrameOps(frame);
  const read: unknown[] = [];
  while (ops.next()) {
    const { seq, kind, stamp: at, key, expiresAtMs, observed } = ops;
    const counted = kind === 2 ? { first: ops.actorFirst, sum: ops.sum } : {};
    read.push({
      seq,
      kind: ["del", "set", "incr"][kind],
      stamp: at,
      key,
      ...(kind === 1 ? { value: ops.value } : {}),
      expiresAtMs,
      observed,
      ...counted,
    });
  }
  return plain({ origin: frame.origin, first: frame.first, context: frame.contextDelta, ops: read });
};

const save = (file: string, samples: readonly Sample[]): void => {
  writeFileSync(pathOf(file), `${JSON.stringify(samples, undefined, 2)}\n`);
};

if (update) {
  save(
    "frames-v1.json",
    frames.map(([name, frame]) => {
      const bytes = encodeFrame(frame);
      return { name, hex: bytes.toString("hex"), meaning: frameMeaning(bytes) };
    }),
  );
  save(
    "link-messages-v1.json",
    messages.map((message) => {
      const bytes = encodeLinkMessage(message);
      return { name: message.kind, hex: bytes.toString("hex"), meaning: plain(message) };
    }),
  );
}

for (const { name, hex, meaning } of load("frames-v1.json")) {
  test(`frame of version 1: ${name}`, () => {
    assert.deepEqual(frameMeaning(Buffer.from(hex, "hex")), meaning);
  });
}

for (const { name, hex, meaning } of load("link-messages-v1.json")) {
  test(`link message of version 1: ${name}`, () => {
    const message = decodeLinkMessage(Buffer.from(hex, "hex"));
    assert.deepEqual(plain(message), meaning);
    assert.equal(encodeLinkMessage(message).toString("hex"), hex, "and is still written so");
  });
}

test("frames of version 1 are still written as they were", () => {
  assert.deepEqual(
    frames.map(([, frame]) => encodeFrame(frame).toString("hex")),
    load("frames-v1.json").map(({ hex }) => hex),
  );
});

test("every kind of link message has a fixture", () => {
  assert.equal(new Set(load("link-messages-v1.json").map(({ name }) => name)).size, 18);
});

test("a frame of an unknown version is refused by its number, though its CRC fits", () => {
  for (const version of [0, frameVersion + 1, 255]) {
    const bytes = Buffer.from(load("frames-v1.json")[0]?.hex ?? "", "hex");
    bytes[4] = version;
    bytes.writeUInt32LE(crc32(bytes.subarray(4, bytes.length - 4)), bytes.length - 4);
    assert.throws(() => parseFrame(bytes), new DecodeFault(`frame format ${version}, this peer reads 1`));
  }
});

test("a link message of an unknown kind is refused by its number", () => {
  for (const kind of [0, 19, 200]) {
    assert.throws(() => decodeLinkMessage(Uint8Array.of(kind)), new DecodeFault(`unknown link message ${kind}`));
  }
});
