import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { gatewayBufferBytes, gatewayReadBytesMin } from "../../protocol/limits.ts";
import { ReadBuffer } from "../../server/gateway/read-buffer.ts";

/** A socket that takes writes at once, or holds them as they were given until it is let go. */
const fakeSocket = (): { to: Writable; held: Buffer[]; isStuck: boolean; letGo: () => void } => {
  let done: (() => void) | undefined;
  const fake = {
    held: [] as Buffer[],
    isStuck: false,
    to: new Writable({
      highWaterMark: gatewayBufferBytes,
      write: (chunk: Buffer, _encoding, callback) => {
        if (!fake.isStuck) return callback();
        fake.held.push(chunk);
        done = callback;
      },
    }),
    letGo: () => {
      fake.isStuck = false;
      done?.();
    },
  };
  return fake;
};

const memoryOf = ({ onread: { buffer } }: ReadBuffer): Uint8Array => (typeof buffer === "function" ? buffer() : buffer);

/** As a socket reads. */
const read = (buffer: ReadBuffer, to: Writable, text: string): boolean => {
  memoryOf(buffer).set(Buffer.from(text));
  return buffer.writeTo(to, text.length);
};

test("what is sent at once leaves the memory to the next read", () => {
  const { to } = fakeSocket();
  const buffer = new ReadBuffer();
  const memory = memoryOf(buffer);
  assert.equal(memory.length, gatewayReadBytesMin);
  for (const text of ["one", "two"]) assert.equal(read(buffer, to, text), true);
  assert.equal(memoryOf(buffer), memory);
});

test("what is not sent yet is not read over; behind it, small reads keep no more than they are long", () => {
  const fake = fakeSocket();
  const buffer = new ReadBuffer();
  const first = memoryOf(buffer);
  fake.isStuck = true;
  read(buffer, fake.to, "one");
  const second = memoryOf(buffer);
  assert.notEqual(second, first);
  for (const text of ["two", "three"]) read(buffer, fake.to, text);
  assert.equal(memoryOf(buffer), second, "one memory, however much waits");
  memoryOf(buffer).fill(0);
  assert.deepEqual(fake.held.map(String), ["one"]);
  const sent: string[] = [];
  fake.to._write = (chunk: Buffer, _encoding, callback) => {
    sent.push(String(chunk));
    callback();
  };
  fake.letGo();
  assert.deepEqual(sent, ["two", "three"]);
});

test("reads that fill the memory make it larger, up to its bound", () => {
  const { to } = fakeSocket();
  const buffer = new ReadBuffer();
  const lengths: number[] = [];
  for (let i = 0; i < 4; i++) {
    lengths.push(memoryOf(buffer).length);
    buffer.writeTo(to, memoryOf(buffer).length);
  }
  assert.deepEqual(lengths, [4096, 16_384, 65_536, gatewayBufferBytes]);
});
