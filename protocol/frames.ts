/**
 * The frame: the ops of one event-loop turn of one origin, with the context they were made in.
 *
 * A frame is encoded once. The same bytes go to the origin's log and to every link; a receiver appends them to its own
 * log verbatim. Layout, little-endian:
 *
 *     u32 bytes that follow | u8 version | origin | varint first seq | u32 count | context delta | ops | u32 CRC-32
 *     origin         u8 length, latin1 `name.incarnation`
 *     context delta  varint n, then n x (origin, varint seq): origins whose seq moved since this origin's last frame
 *     op             u8 kind and flags | varint stamp - stamp of the op before | key | by kind:
 *       set          value | f64 expiry if flagged | observed if flagged
 *       del          observed if flagged
 *       incr         varint first seq of the actor | sum | f64 expiry if flagged
 *     observed       varint n, then n x (origin, varint first, varint seq, sum)
 *     sum            u8 0, f64 (an integer within 2^53)  |  u8 1, decimal text
 *
 * The CRC covers everything between the length and itself. Op i of a frame has seq `first + i`.
 */
import { crc32 } from "node:zlib";
import { ByteReader, ByteWriter, DecodeFault } from "./bytes.ts";
import { frameBytesMax, keyBytesMax, valueBytesMax } from "./limits.ts";
import { type OriginId, parseOriginId, type Stamp } from "./words.ts";

export const frameVersion = 1;

/** An integer: a number within 2^53, else a bigint. */
export type Sum = number | bigint;

/** A total that a SET or DEL had seen: it counts no further than this. */
export interface ObservedTotal {
  readonly origin: OriginId;
  readonly first: number;
  readonly seq: number;
  readonly sum: Sum;
}

export const opKind = { del: 0, set: 1, incr: 2 } as const;
const kindMask = 0x03;
const expiryFlag = 0x04;
const observedFlag = 0x08;
const opFlagsKnown = kindMask | expiryFlag | observedFlag;

/** The least an origin, a sum and an op take: what a count is checked against. */
export const originBytesMin = 18;
export const sumBytesMin = 3;
const opBytesMin = 3;

export const writeOrigin = (out: ByteWriter, origin: string): void => {
  out.u8(origin.length);
  out.reserve(origin.length);
  for (let index = 0; index < origin.length; index++) out.bytes[out.length++] = origin.charCodeAt(index);
};

/** Origins that were found well-formed: a process meets few of them, again and again. */
const wellFormed = new Set<string>();
const wellFormedMax = 1024;

export const readOrigin = (input: ByteReader): OriginId => {
  const size = input.u8();
  input.need(size);
  const text = input.bytes.latin1Slice(input.at, input.at + size);
  input.at += size;
  if (wellFormed.has(text)) return text as OriginId;
  if (parseOriginId(text) === undefined) throw new DecodeFault("not an origin");
  if (wellFormed.size >= wellFormedMax) wellFormed.clear();
  wellFormed.add(text);
  return text as OriginId;
};

export const writeSum = (out: ByteWriter, sum: Sum): void => {
  if (typeof sum === "number") {
    out.u8(0);
    out.f64(sum);
  } else {
    out.u8(1);
    out.string(sum.toString());
  }
};

/** Totals of one actor stay far below this; it only bounds what a hostile peer may make us parse. */
const sumDigitsMax = 64;

export const readSum = (input: ByteReader): Sum => {
  const form = input.u8();
  if (form === 0) {
    const value = input.f64();
    if (!Number.isSafeInteger(value)) throw new DecodeFault("sum is no integer");
    return value;
  }
  const text = input.string(sumDigitsMax);
  if (form !== 1 || !/^-?[0-9]+$/.test(text)) throw new DecodeFault("sum is no integer");
  return BigInt(text);
};

const writeObserved = (out: ByteWriter, observed: readonly ObservedTotal[]): void => {
  out.varint(observed.length);
  for (const total of observed) {
    writeOrigin(out, total.origin);
    out.varint(total.first);
    out.varint(total.seq);
    writeSum(out, total.sum);
  }
};

const readObserved = (input: ByteReader): ObservedTotal[] => {
  const count = input.count(originBytesMin + 2 + sumBytesMin);
  const observed: ObservedTotal[] = [];
  for (let index = 0; index < count; index++) {
    observed.push({ origin: readOrigin(input), first: input.varint(), seq: input.varint(), sum: readSum(input) });
  }
  return observed;
};

/** A sealed frame, and the same bytes with the link message's kind before them: encoded once, sent as they are. */
export interface SealedFrame {
  readonly frame: Buffer;
  readonly message: Buffer;
}

/** Builds one frame at a time in a reused buffer. */
export class FrameWriter {
  readonly #out = new ByteWriter(64 * 1024);
  readonly #messageKind: number;
  #countAt = 0;
  #lastStamp: Stamp = 0;
  count = 0;

  constructor(messageKind: number) {
    this.#messageKind = messageKind;
  }

  get byteLength(): number {
    return this.#out.length;
  }

  open(origin: OriginId, firstSeq: number, contextDelta: readonly (readonly [OriginId, number])[]): void {
    const out = this.#out;
    out.length = 0;
    out.u8(this.#messageKind);
    out.u32(0);
    out.u8(frameVersion);
    writeOrigin(out, origin);
    out.varint(firstSeq);
    this.#countAt = out.length;
    out.u32(0);
    out.varint(contextDelta.length);
    for (const [other, seq] of contextDelta) {
      writeOrigin(out, other);
      out.varint(seq);
    }
    this.#lastStamp = 0;
    this.count = 0;
  }

  #op(kindAndFlags: number, stamp: Stamp, key: string): void {
    this.#out.u8(kindAndFlags);
    this.#out.varint(stamp - this.#lastStamp);
    this.#lastStamp = stamp;
    this.#out.string(key);
    this.count++;
  }

  /** `expiresAtMs` 0: none. */
  set(
    stamp: Stamp,
    key: string,
    value: string,
    expiresAtMs: number,
    observed: readonly ObservedTotal[] | undefined,
  ): void {
    this.#op(opKind.set | (expiresAtMs > 0 ? expiryFlag : 0) | (observed === undefined ? 0 : observedFlag), stamp, key);
    this.#out.string(value);
    if (expiresAtMs > 0) this.#out.f64(expiresAtMs);
    if (observed !== undefined) writeObserved(this.#out, observed);
  }

  del(stamp: Stamp, key: string, observed: readonly ObservedTotal[] | undefined): void {
    this.#op(opKind.del | (observed === undefined ? 0 : observedFlag), stamp, key);
    if (observed !== undefined) writeObserved(this.#out, observed);
  }

  incr(stamp: Stamp, key: string, actorFirst: number, sum: Sum, expiresAtMs: number): void {
    this.#op(opKind.incr | (expiresAtMs > 0 ? expiryFlag : 0), stamp, key);
    this.#out.varint(actorFirst);
    writeSum(this.#out, sum);
    if (expiresAtMs > 0) this.#out.f64(expiresAtMs);
  }

  /** The finished frame, a copy the caller owns. */
  seal(): SealedFrame {
    const out = this.#out;
    out.bytes.writeUInt32LE(this.count, this.#countAt);
    out.u32(crc32(out.bytes.subarray(5, out.length)));
    out.bytes.writeUInt32LE(out.length - 5, 1);
    this.count = 0;
    const message = out.take();
    return { frame: message.subarray(1), message };
  }
}

/** What a frame says of itself; the ops are read by FrameOps. */
export interface FrameHeader {
  readonly origin: OriginId;
  readonly first: number;
  readonly count: number;
  readonly last: number;
  readonly contextDelta: readonly (readonly [OriginId, number])[];
  readonly crc: number;
  /** The whole frame, length field included. */
  readonly bytes: Buffer;
  /** Offset of the first op in `bytes`. */
  readonly opsAt: number;
}

/** Cuts the next frame out of `input` and parses its header; the CRC is checked. */
export const readFrame = (input: ByteReader): FrameHeader => {
  const start = input.at;
  const size = input.u32();
  if (size > frameBytesMax) throw new DecodeFault(`frame of ${size} bytes, limit ${frameBytesMax}`);
  if (size < 10) throw new DecodeFault(`frame of ${size} bytes`);
  input.need(size);
  input.at += size;
  return parseFrame(input.bytes.subarray(start, input.at));
};

/** `bytes` is exactly one frame. */
export const parseFrame = (bytes: Uint8Array): FrameHeader => {
  const input = new ByteReader(bytes);
  const size = input.u32();
  if (size !== bytes.length - 4) throw new DecodeFault("frame length and bytes differ");
  const crcAt = bytes.length - 4;
  if (crcAt < 6) throw new DecodeFault("frame cut short");
  const crc = input.bytes.readUInt32LE(crcAt);
  if (crc32(input.bytes.subarray(4, crcAt)) !== crc) throw new DecodeFault("frame CRC does not match");
  const body = new ByteReader(input.bytes, 4, crcAt);
  const version = body.u8();
  if (version !== frameVersion) throw new DecodeFault(`frame format ${version}, this peer reads ${frameVersion}`);
  const origin = readOrigin(body);
  const first = body.varint();
  const count = body.u32();
  if (first < 1 || count < 1) throw new DecodeFault("a frame has at least one op, seqs start at 1");
  if (!Number.isSafeInteger(first + count)) throw new DecodeFault("seq beyond 2^53");
  if (count * opBytesMin > body.left) throw new DecodeFault(`${count} ops announced, ${body.left} bytes left`);
  const deltaCount = body.count(originBytesMin + 1);
  const contextDelta: [OriginId, number][] = [];
  for (let index = 0; index < deltaCount; index++) contextDelta.push([readOrigin(body), body.varint()]);
  return { origin, first, count, last: first + count - 1, contextDelta, crc, bytes: input.bytes, opsAt: body.at };
};

/**
 * Walks the ops of a frame; the fields speak of the op that next() last read. One object serves a whole frame, so that
 * applying an op allocates its two strings and nothing else.
 */
export class FrameOps {
  readonly #input: ByteReader;
  readonly #count: number;
  #done = 0;
  seq: number;
  kind = 0;
  stamp: Stamp = 0;
  key = "";
  /** set */
  value = "";
  /** set, incr: unix ms, 0 for none */
  expiresAtMs = 0;
  /** set, del: undefined when the writer saw no totals */
  observed: readonly ObservedTotal[] | undefined;
  /** incr */
  actorFirst = 0;
  sum: Sum = 0;

  constructor(frame: FrameHeader) {
    this.#input = new ByteReader(frame.bytes, frame.opsAt, frame.bytes.length - 4);
    this.#count = frame.count;
    this.seq = frame.first - 1;
  }

  next(): boolean {
    const input = this.#input;
    if (this.#done === this.#count) {
      input.expectEnd();
      return false;
    }
    this.#done++;
    this.seq++;
    const byte = input.u8();
    if ((byte & ~opFlagsKnown) !== 0 || (byte & kindMask) > 2) throw new DecodeFault(`unknown op ${byte}`);
    this.kind = byte & kindMask;
    this.stamp += input.varint();
    this.key = input.string(keyBytesMax);
    if (this.kind === opKind.incr) {
      this.actorFirst = input.varint();
      this.sum = readSum(input);
    } else if (this.kind === opKind.set) {
      this.value = input.string(valueBytesMax);
    }
    this.expiresAtMs = (byte & expiryFlag) !== 0 ? input.whole() : 0;
    this.observed = (byte & observedFlag) !== 0 ? readObserved(input) : undefined;
    return true;
  }
}

/**
 * Throws DecodeFault unless every op can be read; the highest stamp of the frame. Called once before a frame from outside
 * is applied, since a frame is applied whole or not at all. Skips over strings without making them.
 */
export const checkFrameOps = (frame: FrameHeader): Stamp => {
  const input = new ByteReader(frame.bytes, frame.opsAt, frame.bytes.length - 4);
  let stamp = 0;
  for (let index = 0; index < frame.count; index++) {
    const byte = input.u8();
    const kind = byte & kindMask;
    if ((byte & ~opFlagsKnown) !== 0 || kind > 2) throw new DecodeFault(`unknown op ${byte}`);
    stamp += input.varint();
    skipString(input, keyBytesMax);
    if (kind === opKind.incr) {
      input.varint();
      readSum(input);
    } else if (kind === opKind.set) {
      skipString(input, valueBytesMax);
    }
    if ((byte & expiryFlag) !== 0) input.whole();
    if ((byte & observedFlag) !== 0) readObserved(input);
  }
  input.expectEnd();
  if (!Number.isSafeInteger(stamp)) throw new DecodeFault("stamp beyond 2^53");
  return stamp;
};

const skipString = (input: ByteReader, lengthMax: number): void => {
  const size = input.varint();
  if (size > lengthMax) throw new DecodeFault(`string of ${size} bytes, limit ${lengthMax}`);
  input.need(size);
  input.at += size;
};
