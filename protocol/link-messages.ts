/**
 * The binary messages between two replicas on a link, after the handshake. First byte: the kind. Kinds from 0xF0 on
 * belong to the link itself (ping, pong); all others are here.
 *
 * Version vectors travel as (origin, seq) pairs. Cells travel with a dictionary of origins per message.
 */
import { ByteReader, ByteWriter, DecodeFault } from "./bytes.ts";
import { originBytesMin, readOrigin, writeOrigin } from "./frames.ts";
import { keyBytesMax } from "./limits.ts";
import {
  type Incarnation,
  type OriginId,
  type PeerName,
  parseIncarnation,
  parsePeerName,
  type Stamp,
} from "./words.ts";

export type WireVector = readonly (readonly [OriginId, number])[];

/** What a peer says it holds on disk. `view`: every peer's incarnation as known when the sync began, by sorted name. */
export interface WireFact {
  readonly peer: PeerName;
  readonly incarnation: Incarnation;
  /** Counts the facts of one incarnation. */
  readonly number: number;
  /** "" for a peer not heard of. */
  readonly view: readonly (Incarnation | "")[];
  readonly vv: WireVector;
  readonly clock: Stamp;
}

export interface WireDigest {
  readonly horizonMs: number;
  readonly first: number;
  readonly second: number;
}

export interface KeyLanes {
  readonly key: string;
  readonly first: number;
  readonly second: number;
}

export type LinkMessage =
  /** First on a link, in both directions. `empty`: holds no data and never did. */
  | { kind: "hello"; incarnation: Incarnation; vv: WireVector; clock: Stamp; gated: boolean; empty: boolean }
  /** Whole frames, one after the other. */
  | { kind: "frames"; frames: Uint8Array }
  | {
      kind: "heartbeat";
      vv: WireVector;
      clock: Stamp;
      gated: boolean;
      facts: readonly WireFact[];
      digest: WireDigest | undefined;
    }
  /** Send me all I lack, counted from this vector. */
  | { kind: "fetch"; vv: WireVector }
  /** All I had at `vv` was sent before this. */
  | { kind: "caught-up"; vv: WireVector; gated: boolean }
  | {
      kind: "transfer-begin";
      /** Counts the sender's transfers: what a stop names. */
      number: number;
      full: boolean;
      vv0: WireVector;
      /** Folded context per origin, as of vv0. */
      contexts: readonly (readonly [OriginId, WireVector])[];
    }
  | { kind: "transfer-cells"; cells: Uint8Array }
  | { kind: "transfer-frames"; frames: Uint8Array }
  | { kind: "transfer-end"; vvEnd: WireVector; horizonMs: number; floor: WireVector; clock: Stamp }
  /** I am installing another's transfer: stop yours of this number, I shall fetch. */
  | { kind: "transfer-stop"; number: number }
  | { kind: "sync-request" }
  | { kind: "synced"; vv: WireVector }
  | { kind: "digest-request"; id: number }
  | { kind: "digest-reply"; id: number; vv: WireVector; horizonMs: number; sums: Uint8Array }
  | { kind: "keys-request"; id: number; buckets: readonly number[] }
  | { kind: "keys-reply"; id: number; keys: readonly KeyLanes[]; more: boolean }
  | { kind: "cells-request"; keys: readonly string[] }
  | { kind: "repair-cells"; cells: Uint8Array };

const kinds = {
  hello: 1,
  frames: 2,
  heartbeat: 3,
  fetch: 4,
  "caught-up": 5,
  "transfer-begin": 6,
  "transfer-cells": 7,
  "transfer-frames": 8,
  "transfer-end": 9,
  "transfer-stop": 10,
  "sync-request": 11,
  synced: 12,
  "digest-request": 13,
  "digest-reply": 14,
  "keys-request": 15,
  "keys-reply": 16,
  "cells-request": 17,
  "repair-cells": 18,
} as const satisfies Record<LinkMessage["kind"], number>;

/** The kind byte of a message of whole frames: what the live stream puts before a frame. */
export const framesKind = kinds.frames;

export const writeVector = (out: ByteWriter, vv: WireVector): void => {
  out.varint(vv.length);
  for (const [origin, seq] of vv) {
    writeOrigin(out, origin);
    out.varint(seq);
  }
};

export const readVector = (input: ByteReader): WireVector => {
  const count = input.count(originBytesMin + 1);
  const vv: [OriginId, number][] = [];
  for (let index = 0; index < count; index++) vv.push([readOrigin(input), input.varint()]);
  return vv;
};

const writeFact = (out: ByteWriter, fact: WireFact): void => {
  out.string(fact.peer);
  out.string(fact.incarnation);
  out.varint(fact.number);
  out.varint(fact.view.length);
  for (const incarnation of fact.view) out.string(incarnation);
  writeVector(out, fact.vv);
  out.varint(fact.clock);
};

const readName = (input: ByteReader): PeerName => {
  const name = parsePeerName(input.string(32));
  if (name === undefined) throw new DecodeFault("not a peer name");
  return name;
};

const readIncarnation = (input: ByteReader): Incarnation => {
  const incarnation = parseIncarnation(input.string(15));
  if (incarnation === undefined) throw new DecodeFault("not an incarnation");
  return incarnation;
};

/** Name, incarnation, number, no view, no vector, clock. */
const factBytesMin = 2 + 16 + 4;

const readFact = (input: ByteReader): WireFact => {
  const peer = readName(input);
  const incarnation = readIncarnation(input);
  const number = input.varint();
  const count = input.count(1);
  const view: (Incarnation | "")[] = [];
  for (let index = 0; index < count; index++) {
    const text = input.string(15);
    const known = text === "" ? "" : parseIncarnation(text);
    if (known === undefined) throw new DecodeFault("not an incarnation");
    view.push(known);
  }
  return { peer, incarnation, number, view, vv: readVector(input), clock: input.varint() };
};

const readFlag = (input: ByteReader): boolean => {
  const byte = input.u8();
  if (byte > 1) throw new DecodeFault("a flag is 0 or 1");
  return byte === 1;
};

/** Every message is written here first; one that grew it beyond this takes it away. */
const scratchBytesMax = 1024 * 1024;
let scratch = new ByteWriter(4096);

export const encodeLinkMessage = (message: LinkMessage): Buffer => {
  const out = scratch;
  out.length = 0;
  writeMessage(out, message);
  if (out.bytes.length > scratchBytesMax) scratch = new ByteWriter(4096);
  return out.take();
};

const writeMessage = (out: ByteWriter, message: LinkMessage): void => {
  out.u8(kinds[message.kind]);
  switch (message.kind) {
    case "hello":
      out.string(message.incarnation);
      writeVector(out, message.vv);
      out.varint(message.clock);
      out.u8(message.gated ? 1 : 0);
      out.u8(message.empty ? 1 : 0);
      break;
    case "frames":
    case "transfer-frames":
      out.raw(message.frames);
      break;
    case "heartbeat":
      writeVector(out, message.vv);
      out.varint(message.clock);
      out.u8(message.gated ? 1 : 0);
      out.varint(message.facts.length);
      for (const fact of message.facts) writeFact(out, fact);
      out.u8(message.digest === undefined ? 0 : 1);
      if (message.digest !== undefined) {
        out.f64(message.digest.horizonMs);
        out.u32(message.digest.first);
        out.u32(message.digest.second);
      }
      break;
    case "fetch":
    case "synced":
      writeVector(out, message.vv);
      break;
    case "caught-up":
      writeVector(out, message.vv);
      out.u8(message.gated ? 1 : 0);
      break;
    case "transfer-begin":
      out.varint(message.number);
      out.u8(message.full ? 1 : 0);
      writeVector(out, message.vv0);
      out.varint(message.contexts.length);
      for (const [origin, context] of message.contexts) {
        writeOrigin(out, origin);
        writeVector(out, context);
      }
      break;
    case "transfer-cells":
    case "repair-cells":
      out.raw(message.cells);
      break;
    case "transfer-end":
      writeVector(out, message.vvEnd);
      out.f64(message.horizonMs);
      writeVector(out, message.floor);
      out.varint(message.clock);
      break;
    case "transfer-stop":
      out.varint(message.number);
      break;
    case "sync-request":
      break;
    case "digest-request":
      out.varint(message.id);
      break;
    case "digest-reply":
      out.varint(message.id);
      writeVector(out, message.vv);
      out.f64(message.horizonMs);
      out.raw(message.sums);
      break;
    case "keys-request":
      out.varint(message.id);
      out.varint(message.buckets.length);
      for (const bucket of message.buckets) out.varint(bucket);
      break;
    case "keys-reply":
      out.varint(message.id);
      out.u8(message.more ? 1 : 0);
      out.varint(message.keys.length);
      for (const { key, first, second } of message.keys) {
        out.string(key);
        out.u32(first);
        out.u32(second);
      }
      break;
    case "cells-request":
      out.varint(message.keys.length);
      for (const key of message.keys) out.string(key);
      break;
  }
};

/** Throws DecodeFault for anything that is not exactly one message. Byte parts are views of `bytes`. */
export const decodeLinkMessage = (bytes: Uint8Array): LinkMessage => {
  const input = new ByteReader(bytes);
  const message = readMessage(input);
  input.expectEnd();
  return message;
};

const readMessage = (input: ByteReader): LinkMessage => {
  const kind = input.u8();
  switch (kind) {
    case kinds.hello:
      return {
        kind: "hello",
        incarnation: readIncarnation(input),
        vv: readVector(input),
        clock: input.varint(),
        gated: readFlag(input),
        empty: readFlag(input),
      };
    case kinds.frames:
      return { kind: "frames", frames: input.raw(input.left) };
    case kinds.heartbeat: {
      const vv = readVector(input);
      const clock = input.varint();
      const gated = readFlag(input);
      const count = input.count(factBytesMin);
      const facts: WireFact[] = [];
      for (let index = 0; index < count; index++) facts.push(readFact(input));
      const digest = readFlag(input)
        ? { horizonMs: input.whole(), first: input.u32(), second: input.u32() }
        : undefined;
      return { kind: "heartbeat", vv, clock, gated, facts, digest };
    }
    case kinds.fetch:
      return { kind: "fetch", vv: readVector(input) };
    case kinds["caught-up"]:
      return { kind: "caught-up", vv: readVector(input), gated: readFlag(input) };
    case kinds["transfer-begin"]: {
      const number = input.varint();
      const full = readFlag(input);
      const vv0 = readVector(input);
      const count = input.count(originBytesMin + 1);
      const contexts: [OriginId, WireVector][] = [];
      for (let index = 0; index < count; index++) contexts.push([readOrigin(input), readVector(input)]);
      return { kind: "transfer-begin", number, full, vv0, contexts };
    }
    case kinds["transfer-cells"]:
      return { kind: "transfer-cells", cells: input.raw(input.left) };
    case kinds["transfer-frames"]:
      return { kind: "transfer-frames", frames: input.raw(input.left) };
    case kinds["transfer-end"]:
      return {
        kind: "transfer-end",
        vvEnd: readVector(input),
        horizonMs: input.whole(),
        floor: readVector(input),
        clock: input.varint(),
      };
    case kinds["transfer-stop"]:
      return { kind: "transfer-stop", number: input.varint() };
    case kinds["sync-request"]:
      return { kind: "sync-request" };
    case kinds.synced:
      return { kind: "synced", vv: readVector(input) };
    case kinds["digest-request"]:
      return { kind: "digest-request", id: input.varint() };
    case kinds["digest-reply"]:
      return {
        kind: "digest-reply",
        id: input.varint(),
        vv: readVector(input),
        horizonMs: input.whole(),
        sums: input.raw(input.left),
      };
    case kinds["keys-request"]: {
      const id = input.varint();
      const count = input.count(1);
      const buckets: number[] = [];
      for (let index = 0; index < count; index++) buckets.push(input.varint());
      return { kind: "keys-request", id, buckets };
    }
    case kinds["keys-reply"]: {
      const id = input.varint();
      const more = readFlag(input);
      const count = input.count(9);
      const keys: KeyLanes[] = [];
      for (let index = 0; index < count; index++) {
        keys.push({ key: input.string(keyBytesMax), first: input.u32(), second: input.u32() });
      }
      return { kind: "keys-reply", id, keys, more };
    }
    case kinds["cells-request"]: {
      const count = input.count(1);
      const keys: string[] = [];
      for (let index = 0; index < count; index++) keys.push(input.string(keyBytesMax));
      return { kind: "cells-request", keys };
    }
    case kinds["repair-cells"]:
      return { kind: "repair-cells", cells: input.raw(input.left) };
    default:
      throw new DecodeFault(`unknown link message ${kind}`);
  }
};
