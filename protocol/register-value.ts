/**
 * What one register holds, and its bytes: the same in messages, in the log and in the checkpoint.
 *
 *   u8 format (1) | u8 flags: 1 live, 2 lease
 *   live: value | version | lease: id, ttl in ms
 *   forgotten | rounds: ballots | ops: id, version, reply | fences: lock, token
 *
 * Acceptors keep these bytes and never look into them beyond the head; proposers read, change and write them.
 */
import { type Ballot, OriginReader, OriginWriter } from "./ballots.ts";
import { ByteReader, ByteWriter, DecodeFault } from "./bytes.ts";
import {
  fenceLockBytesMax,
  fencesPerRegisterMax,
  keptReplyBytesMax,
  operationIdBytesMax,
  operationIdsKept,
  registerRoundsKept,
  registerValueBytesMax,
} from "./limits.ts";

/** A time to live. Judged by whoever wants it over, by its own monotonic clock: server/registers/leases.ts. */
export interface Lease {
  /** The version of the operation that began or renewed it: another id is another lease. */
  readonly id: number;
  readonly ttlMs: number;
}

/** What an operation answered: what Redis would have, as data. */
export type RegisterReply =
  | { readonly kind: "ok" }
  | { readonly kind: "nil" }
  | { readonly kind: "integer"; readonly value: number | bigint }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "error"; readonly error: RegisterError }
  /** It took effect; its answer of so many bytes was not kept. */
  | { readonly kind: "not-kept"; readonly bytes: number };

export const registerErrors = ["not-an-integer", "overflow", "too-long", "fenced", "too-many-fences"] as const;
export type RegisterError = (typeof registerErrors)[number];

export interface KeptOperation {
  readonly id: string;
  readonly version: number;
  readonly reply: RegisterReply;
}

export interface Fence {
  readonly lock: string;
  /** The highest token a write was made with. */
  readonly token: number;
}

export interface RegisterValue {
  /** undefined: deleted, or never written. */
  readonly bytes: string | undefined;
  /** Of the operation that last set or deleted the value. Grows for ever, also across delete and purge. */
  readonly version: number;
  readonly lease: Lease | undefined;
  /** The rounds that changed it, oldest first: how a proposer finds out whether a round it gave up took place. */
  readonly rounds: readonly Ballot[];
  /** The highest counter of a round no longer listed. */
  readonly forgotten: number;
  readonly ops: readonly KeptOperation[];
  readonly fences: readonly Fence[];
}

const format = 1;
const flagLive = 1;
const flagLease = 2;

export const writeReply = (out: ByteWriter, reply: RegisterReply): void => {
  switch (reply.kind) {
    case "ok":
      return out.u8(0);
    case "nil":
      return out.u8(1);
    case "integer":
      out.u8(2);
      return out.string(reply.value.toString());
    case "text":
      out.u8(3);
      return out.string(reply.text);
    case "error":
      out.u8(4);
      return out.u8(registerErrors.indexOf(reply.error));
    case "not-kept":
      out.u8(5);
      return out.varint(reply.bytes);
  }
};

const integerPattern = /^(0|-?[1-9][0-9]{0,18})$/;

export const readReply = (input: ByteReader): RegisterReply => {
  const kind = input.u8();
  switch (kind) {
    case 0:
      return { kind: "ok" };
    case 1:
      return { kind: "nil" };
    case 2: {
      const text = input.string(20);
      if (!integerPattern.test(text)) throw new DecodeFault("not an integer");
      const value = Number(text);
      return { kind: "integer", value: Number.isSafeInteger(value) ? value : BigInt(text) };
    }
    case 3:
      return { kind: "text", text: input.string(keptReplyBytesMax) };
    case 4: {
      const error = registerErrors[input.u8()];
      if (error === undefined) throw new DecodeFault("not an error of an operation");
      return { kind: "error", error };
    }
    case 5:
      return { kind: "not-kept", bytes: input.varint() };
    default:
      throw new DecodeFault(`reply of kind ${kind}`);
  }
};

const scratch = new ByteWriter(4096);

/** As latin1 text: one character a byte. */
export const encodeRegisterValue = (value: RegisterValue): string => {
  const out = scratch;
  const origins = new OriginWriter();
  out.length = 0;
  out.u8(format);
  out.u8((value.bytes === undefined ? 0 : flagLive) | (value.lease === undefined ? 0 : flagLease));
  if (value.bytes !== undefined) out.string(value.bytes);
  out.varint(value.version);
  if (value.lease !== undefined) {
    out.varint(value.lease.id);
    out.varint(value.lease.ttlMs);
  }
  out.varint(value.forgotten);
  out.varint(value.rounds.length);
  for (const ballot of value.rounds) origins.ballot(out, ballot);
  out.varint(value.ops.length);
  for (const { id, version, reply } of value.ops) {
    out.string(id);
    out.varint(version);
    writeReply(out, reply);
  }
  out.varint(value.fences.length);
  for (const { lock, token } of value.fences) {
    out.string(lock);
    out.varint(token);
  }
  return out.bytes.latin1Slice(0, out.length);
};

/** Throws DecodeFault for anything that is not exactly one register. */
export const decodeRegisterValue = (text: string): RegisterValue => {
  const input = new ByteReader(Buffer.from(text, "latin1"));
  const { bytes, version, lease } = readHead(input);
  const origins = new OriginReader();
  const forgotten = input.varint();
  const rounds: Ballot[] = [];
  for (let left = atMost(input.count(2), registerRoundsKept, "rounds"); left > 0; left--) {
    const ballot = origins.ballot(input);
    const last = rounds.at(-1)?.counter ?? forgotten;
    if (ballot.counter <= last) throw new DecodeFault("the rounds of a register grow");
    rounds.push(ballot);
  }
  const ops: KeptOperation[] = [];
  for (let left = atMost(input.count(3), operationIdsKept, "operation ids"); left > 0; left--) {
    ops.push({ id: input.string(operationIdBytesMax), version: input.varint(), reply: readReply(input) });
  }
  const fences: Fence[] = [];
  for (let left = atMost(input.count(2), fencesPerRegisterMax, "fences"); left > 0; left--) {
    fences.push({ lock: input.string(fenceLockBytesMax), token: input.varint() });
  }
  input.expectEnd();
  return { bytes, version, lease, rounds, forgotten, ops, fences };
};

/**
 * Throws where decodeRegisterValue() would, of all that is left of `input`, and makes nothing of it: acceptors look at what
 * comes in so that no register is stored that a proposer cannot read. A law of codecs.test.ts holds the two together.
 */
export const checkRegisterValue = (input: ByteReader): void => {
  const flags = readFlags(input);
  if ((flags & flagLive) !== 0) input.skipString(registerValueBytesMax);
  for (let left = (flags & flagLease) === 0 ? 1 : 3; left > 0; left--) input.varint();
  const origins = new OriginReader();
  let last = input.varint();
  for (let left = atMost(input.count(2), registerRoundsKept, "rounds"); left > 0; left--) {
    const counter = origins.counterOf(input);
    if (counter <= last) throw new DecodeFault("the rounds of a register grow");
    last = counter;
  }
  for (let left = atMost(input.count(3), operationIdsKept, "operation ids"); left > 0; left--) {
    input.skipString(operationIdBytesMax);
    input.varint();
    readReply(input);
  }
  for (let left = atMost(input.count(2), fencesPerRegisterMax, "fences"); left > 0; left--) {
    input.skipString(fenceLockBytesMax);
    input.varint();
  }
  input.expectEnd();
};

const atMost = (count: number, max: number, what: string): number => {
  if (count > max) throw new DecodeFault(`${count} ${what}, limit ${max}`);
  return count;
};

type Head = Pick<RegisterValue, "bytes" | "version" | "lease">;

const readFlags = (input: ByteReader): number => {
  const found = input.u8();
  if (found !== format) throw new DecodeFault(`register of format ${found}, this version reads ${format}`);
  const flags = input.u8();
  if (flags > (flagLive | flagLease) || flags === flagLease) throw new DecodeFault("flags of a register");
  return flags;
};

const readHead = (input: ByteReader): Head => {
  const flags = readFlags(input);
  const bytes = (flags & flagLive) === 0 ? undefined : input.string(registerValueBytesMax);
  const version = input.varint();
  const lease = (flags & flagLease) === 0 ? undefined : { id: input.varint(), ttlMs: input.varint() };
  return { bytes, version, lease };
};

/** What an acceptor wants to know: is it dead, does a lease run. */
export interface RegisterHead {
  readonly live: boolean;
  readonly version: number;
  readonly lease: Lease | undefined;
}

/** `text` was decoded whole when it came in. Its value is passed over, since every accept comes by here. */
export const peekRegisterValue = (text: string): RegisterHead => {
  let at = 2;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = text.charCodeAt(at++);
      value += (byte & 0x7f) * scale;
      if (!(byte >= 0x80)) return value;
    }
  };
  const flags = text.charCodeAt(1);
  const live = (flags & flagLive) !== 0;
  if (live) {
    const length = varint();
    at += length;
  }
  const version = varint();
  return { live, version, lease: (flags & flagLease) === 0 ? undefined : { id: varint(), ttlMs: varint() } };
};
