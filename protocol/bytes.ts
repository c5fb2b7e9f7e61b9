/**
 * Reading and writing the bytes of frames and link messages.
 *
 * Strings are latin1, one character a byte. Integers are unsigned LEB128 varints up to 2^53 - 1, or fixed little-endian
 * fields. The reader believes nothing: every length is checked against what is left before anything is cut out, so no
 * allocation is ever sized by a claim, and a short or overlong input is a DecodeFault, never an out-of-range read.
 */

declare global {
  // Node has these on Buffer since 0.x and uses them inside toString() and write(); the types leave them out. Called
  // directly they spare the look-up of the encoding, on the hottest path there is.
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number, length: number): number;
  }
}

/** The bytes are not what the format says. The sender's fault: refuse, count, close that link. */
export class DecodeFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = "DecodeFault";
  }
}

/** Below this length a loop of charCodeAt beats the call into C++ (measured at about 40 ns a call). */
const shortStringMax = 24;

export class ByteWriter {
  bytes: Buffer;
  length = 0;

  constructor(capacity = 1024) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  reserve(extra: number): void {
    const needed = this.length + extra;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  u8(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.reserve(4);
    this.bytes.writeUInt32LE(value >>> 0, this.length);
    this.length += 4;
  }

  f64(value: number): void {
    this.reserve(8);
    this.bytes.writeDoubleLE(value, this.length);
    this.length += 8;
  }

  varint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80000000) {
      this.bytes[this.length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
  }

  /** Length as a varint, then the bytes. */
  string(text: string): void {
    const size = text.length;
    this.varint(size);
    this.reserve(size);
    if (size <= shortStringMax) {
      const { bytes } = this;
      let at = this.length;
      for (let index = 0; index < size; index++) bytes[at++] = text.charCodeAt(index);
      this.length = at;
    } else {
      this.bytes.latin1Write(text, this.length, size);
      this.length += size;
    }
  }

  raw(part: Uint8Array): void {
    this.reserve(part.length);
    this.bytes.set(part, this.length);
    this.length += part.length;
  }

  /** A copy that the caller owns; the writer is empty again. Small ones share a slab: an ArrayBuffer each costs a microsecond. */
  take(): Buffer {
    const copy = Buffer.allocUnsafe(this.length);
    this.bytes.copy(copy, 0, 0, this.length);
    this.length = 0;
    return copy;
  }
}

export class ByteReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  need(count: number): void {
    if (count > this.end - this.at) throw new DecodeFault(`${count} bytes announced, ${this.end - this.at} left`);
  }

  u8(): number {
    this.need(1);
    return this.bytes[this.at++] as number;
  }

  u32(): number {
    this.need(4);
    const value = this.bytes.readUInt32LE(this.at);
    this.at += 4;
    return value;
  }

  f64(): number {
    this.need(8);
    const value = this.bytes.readDoubleLE(this.at);
    this.at += 8;
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 8; count++) {
      if (this.at >= this.end) throw new DecodeFault("integer cut short");
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw new DecodeFault("integer beyond 2^53");
        return value;
      }
      scale *= 128;
    }
    throw new DecodeFault("integer too long");
  }

  /**
   * How many items follow, of at least `itemBytesMin` bytes each. More than what is left could hold is refused before the
   * first is read.
   */
  count(itemBytesMin: number): number {
    const count = this.varint();
    if (count * itemBytesMin > this.left) throw new DecodeFault(`${count} items announced, ${this.left} bytes left`);
    return count;
  }

  /** A double that holds a whole number, 0 or more: a stamp, a time. */
  whole(): number {
    const value = this.f64();
    if (!Number.isInteger(value) || value < 0) throw new DecodeFault(`${value} is no time or stamp`);
    return value;
  }

  string(lengthMax: number): string {
    const begin = this.skipString(lengthMax);
    return this.bytes.latin1Slice(begin, this.at);
  }

  /** Passes over a string. Returns where it begins; it ends where the reader is then. */
  skipString(lengthMax: number): number {
    const size = this.varint();
    if (size > lengthMax) throw new DecodeFault(`string of ${size} bytes, limit ${lengthMax}`);
    this.need(size);
    const begin = this.at;
    this.at += size;
    return begin;
  }

  /** A view, not a copy. */
  raw(size: number): Buffer {
    this.need(size);
    const part = this.bytes.subarray(this.at, this.at + size);
    this.at += size;
    return part;
  }

  expectEnd(): void {
    if (this.at !== this.end) throw new DecodeFault(`${this.end - this.at} bytes too many`);
  }
}

/** The parts in order, in groups of at most `bytesMax` bytes; a longer part is a group of its own. */
export const batchesOf = (parts: readonly Uint8Array[], bytesMax: number): readonly Uint8Array[][] => {
  const batches: Uint8Array[][] = [];
  let batch: Uint8Array[] = [];
  let bytes = 0;
  for (const part of parts) {
    if (batch.length === 0 || bytes + part.length > bytesMax) {
      batch = [];
      batches.push(batch);
      bytes = 0;
    }
    batch.push(part);
    bytes += part.length;
  }
  return batches;
};
