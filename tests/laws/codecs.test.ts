/**
 * Codecs: what was written is read back; and whatever bytes come, a decoder answers with the thing or with DecodeFault,
 * soon, and never reserves memory because of a number it was told.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { ByteReader, ByteWriter, DecodeFault } from "../../protocol/bytes.ts";
import { checkFrameOps, FrameOps, frameVersion, opKind, parseFrame, readFrame } from "../../protocol/frames.ts";
import { frameBytesMax } from "../../protocol/limits.ts";
import { decodeLinkMessage, encodeLinkMessage } from "../../protocol/link-messages.ts";
import { parseOriginId } from "../../protocol/words.ts";
import { readCell, writeCell } from "../../server/replica/cell.ts";
import { CellBundleWriter, readCellBundle } from "../../server/replica/cell-bundle.ts";
import { Checkpointer, decodeMeta, loadEntry } from "../../server/replica/checkpoint.ts";
import { decodeConflict, encodeConflict } from "../../server/replica/conflicts.ts";
import { OriginTable } from "../../server/replica/origins.ts";
import { readVersionVector } from "../../server/replica/version-vector.ts";
import { apply, newState, runHistory, steps } from "./history.ts";
import * as arbitrary from "./messages.ts";

const checked = (bytes: Uint8Array): void => {
  const input = new ByteReader(bytes);
  while (input.left > 0) {
    const frame = readFrame(input);
    checkFrameOps(frame);
    const ops = new FrameOps(frame);
    while (ops.next());
  }
};

/** A CRC that fits, so that what lies behind it is reached. */
const resealed = (frame: Uint8Array): Buffer => {
  const copy = Buffer.from(frame);
  if (copy.length < 8) return copy;
  copy.writeUInt32LE(copy.length - 4, 0);
  copy.writeUInt32LE(crc32(copy.subarray(4, copy.length - 4)), copy.length - 4);
  return copy;
};

test("integers, strings and doubles come back as they were written", () => {
  const item = fc.oneof(
    fc.record({ what: fc.constant("varint" as const), value: fc.maxSafeNat() }),
    fc.record({ what: fc.constant("u32" as const), value: fc.nat(0xffffffff) }),
    fc.record({ what: fc.constant("f64" as const), value: fc.double({ noNaN: true }) }),
    fc.record({ what: fc.constant("string" as const), value: arbitrary.bytes(80) }),
  );
  fc.assert(
    fc.property(fc.array(item, { maxLength: 20 }), (items) => {
      const out = new ByteWriter(1);
      for (const { what, value } of items) {
        if (what === "string") out.string(value);
        else out[what](value);
      }
      const input = new ByteReader(out.take());
      for (const { what, value } of items) {
        assert.equal(what === "string" ? input.string(1 << 20) : input[what](), value);
      }
      input.expectEnd();
    }),
  );
});

test("integers at the edges of their encoding", () => {
  for (const value of [0, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 35, 2 ** 49 - 1, Number.MAX_SAFE_INTEGER]) {
    const out = new ByteWriter(1);
    out.varint(value);
    assert.equal(new ByteReader(out.take()).varint(), value);
  }
  const refused = [
    ["", "nothing"],
    ["80", "cut short"],
    ["8080808080808010", "2^53"],
    ["8180808080808010", "2^53 + 1"],
    ["ffffffffffffff7f", "2^56 - 1"],
    ["ffffffffffffffff01", "nine bytes"],
    ["808080808080808000", "a zero of nine bytes"],
  ] as const;
  for (const [hex, why] of refused) {
    assert.throws(() => new ByteReader(Buffer.from(hex, "hex")).varint(), DecodeFault, why);
  }
});

test("a frame comes back as it was written", () => {
  fc.assert(
    fc.property(arbitrary.frame, (written) => {
      const bytes = arbitrary.encodeFrame(written);
      const frame = parseFrame(bytes);
      assert.equal(frame.origin, written.origin);
      assert.equal(frame.first, written.first);
      assert.equal(frame.count, written.ops.length);
      assert.equal(frame.last, written.first + written.ops.length - 1);
      assert.deepEqual(frame.contextDelta, written.context);
      const ops = new FrameOps(frame);
      let stamp = 0;
      for (const [index, op] of written.ops.entries()) {
        assert(ops.next());
        stamp += op.step;
        assert.equal(ops.kind, opKind[op.kind]);
        assert.equal(ops.stamp, stamp);
        assert.equal(ops.seq, written.first + index);
        assert.equal(ops.key, op.key);
        if (op.kind === "set") assert.equal(ops.value, op.value);
        assert.equal(ops.expiresAtMs, op.kind === "del" ? 0 : op.expiresAtMs);
        if (op.kind === "incr") {
          assert.equal(ops.actorFirst, op.first);
          assert.equal(ops.sum, op.sum);
        } else assert.deepEqual(ops.observed, op.observed);
      }
      assert.equal(ops.next(), false);
      assert.equal(checkFrameOps(frame), stamp);
    }),
    { numRuns: 200 },
  );
});

test("frames lie one after the other in one message, each a view of it", () => {
  fc.assert(
    fc.property(fc.array(arbitrary.frame, { minLength: 1, maxLength: 4 }), (written) => {
      const frames = written.map(arbitrary.encodeFrame);
      const input = new ByteReader(Buffer.concat(frames));
      for (const bytes of frames) assert.deepEqual(readFrame(input).bytes, bytes);
      input.expectEnd();
    }),
    { numRuns: 50 },
  );
});

test("a link message of every kind comes back as it was written", () => {
  const kinds = new Set<string>();
  fc.assert(
    fc.property(arbitrary.linkMessage, (message) => {
      kinds.add(message.kind);
      assert.deepEqual(decodeLinkMessage(encodeLinkMessage(message)), message);
    }),
    { numRuns: 800 },
  );
  assert.equal(kinds.size, 18, "every kind was tried");
});

const table = (): OriginTable => {
  const origins = new OriginTable();
  for (let index = 0; index < arbitrary.cellOrigins; index++) {
    const id = `p.${"0".repeat(14)}${index}`;
    assert(parseOriginId(id) !== undefined);
    origins.number(id as Parameters<typeof origins.number>[0]);
  }
  return origins;
};

test("cells come back alone, and in a bundle to a table that numbers origins otherwise", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(arbitrary.bytes(20), arbitrary.cell), { maxLength: 4, selector: ([key]) => key }),
      (cells) => {
        const origins = table();
        const there = new OriginTable();
        for (const id of [...origins.ids].reverse()) there.number(id);
        const bundle = new CellBundleWriter(origins);
        for (const [key, cell] of cells) {
          const out = new ByteWriter(1);
          writeCell(out, cell, (origin) => origin);
          assert.deepEqual(
            readCell(new ByteReader(out.take()), (reference) => reference),
            cell,
          );
          bundle.add(key, cell);
        }
        const read: [string, unknown][] = [];
        const back = (origin: number): number => origins.find(there.id(origin)) as number;
        readCellBundle(bundle.take(), there, (key, cell) => {
          const renumber = <T extends { readonly origin: number }>(part: T): T => ({
            ...part,
            origin: back(part.origin),
          });
          const base = cell.value === undefined ? cell : renumber(cell);
          read.push([key, { ...base, observed: cell.observed.map(renumber), totals: cell.totals.map(renumber) }]);
        });
        assert.deepEqual(read, cells);
      },
    ),
    { numRuns: 200 },
  );
});

test("conflicts come back as they were written", () => {
  fc.assert(
    fc.property(arbitrary.conflict, (conflict) => {
      const input = new ByteReader(encodeConflict(conflict));
      assert.deepEqual(decodeConflict(input), conflict);
      input.expectEnd();
    }),
  );
});

/** All entries of one checkpoint of a state. */
const checkpointOf = (state: ReturnType<typeof newState>): (readonly [Uint8Array, Uint8Array])[] => {
  const checkpointer = new Checkpointer(state, () => 0);
  checkpointer.begin();
  const entries: (readonly [Uint8Array, Uint8Array])[] = [];
  for (let slice = checkpointer.slice(64); slice.length > 0; slice = checkpointer.slice(64)) {
    for (const [key, value] of slice) if (value !== undefined) entries.push([key, value]);
  }
  for (const [key, value] of checkpointer.end()) if (value !== undefined) entries.push([key, value]);
  checkpointer.finished();
  return entries;
};

const loadOrder = "ofmcj";

test("a checkpoint gives back vector, contexts, floor, cells and conflicts", () => {
  fc.assert(
    fc.property(steps, arbitrary.conflict, (script, conflict) => {
      const history = runHistory(script);
      const state = newState("reader", "aaaaaaaaaad0000");
      for (let round = 0; round < history.frames.length; round++)
        for (const bytes of history.frames) apply(state, bytes);
      state.purgeable = [...state.vv];
      state.floor = [...state.vv];
      state.gated = script.length % 2 === 0;
      state.gatedInLog = state.gated;
      state.ceilingInLog = state.clock.ceiling;
      state.journal.record(conflict);
      const entries = checkpointOf(state);
      const loaded = newState("reader");
      loaded.clock.ceiling = 0;
      const checkpointer = new Checkpointer(loaded, () => 0);
      const sorted = entries.toSorted(
        ([a], [b]) =>
          loadOrder.indexOf(String.fromCharCode(a[0] as number)) -
            loadOrder.indexOf(String.fromCharCode(b[0] as number)) || Buffer.compare(a, b),
      );
      for (const [key, value] of sorted) loadEntry(loaded, checkpointer, key, value);
      assert.deepEqual(loaded.wire(loaded.vv), state.wire(state.vv));
      assert.deepEqual(loaded.wire(loaded.floor), state.wire(state.floor));
      assert.deepEqual(loaded.wire(loaded.purgeable), state.wire(state.purgeable));
      assert.equal(loaded.gated, state.gated);
      assert.equal(loaded.clock.ceiling, state.clock.ceiling);
      assert.equal(loaded.nextLsn, state.nextLsn);
      assert.deepEqual(
        loaded.contexts.map((context) => loaded.wire(context)).filter((context) => context.length > 0),
        state.contexts.map((context) => state.wire(context)).filter((context) => context.length > 0),
      );
      assert.equal(loaded.map.digest.text, state.map.digest.text);
      assert.equal(loaded.map.tombstoneCount, state.map.tombstoneCount);
      assert.equal(loaded.map.bytes, state.map.bytes);
      assert.deepEqual(loaded.journal.list(conflict.key).at(-1), conflict);
    }),
    { numRuns: 100 },
  );
});

// ---- hostile bytes ----------------------------------------------------------------------------------------------------

/** Longer than any of this may take, shorter than a loop over a claimed count would. */
const slowMs = 10_000;

const faultOrFine = (decode: () => unknown, hex: () => string): void => {
  const startedMs = performance.now();
  try {
    decode();
  } catch (error) {
    if (!(error instanceof DecodeFault)) throw new Error(`${String(error)} for ${hex()}`, { cause: error });
  }
  const tookMs = performance.now() - startedMs;
  assert(tookMs < slowMs, `${Math.round(tookMs)} ms for ${hex()}`);
};

const decoders: readonly (readonly [string, (bytes: Uint8Array) => unknown])[] = [
  ["link message", decodeLinkMessage],
  ["frames", checked],
  ["frames with a CRC that fits", (bytes) => checked(resealed(bytes))],
  ["cells", (bytes) => readCellBundle(bytes, table(), () => {})],
  ["one cell", (bytes) => readCell(new ByteReader(bytes), () => 0)],
  ["conflict", (bytes) => decodeConflict(new ByteReader(bytes))],
  ["vector", (bytes) => readVersionVector(new ByteReader(bytes), table())],
  ["checkpoint meta", (bytes) => decodeMeta(bytes, newState("a"))],
  ...["o0000", "f", "m", "c\0\0\0\0\0\0", "jid"].map(
    (key) =>
      [
        `stored ${key[0]}`,
        (bytes: Uint8Array) => {
          const state = newState("a");
          return loadEntry(state, new Checkpointer(state, () => 0), Buffer.from(key), bytes);
        },
      ] as const,
  ),
];

const damage = fc.oneof(
  fc.record({ how: fc.constant("cut" as const), at: fc.nat(1000), bit: fc.nat(7) }),
  fc.record({ how: fc.constant("flip" as const), at: fc.nat(1000), bit: fc.nat(7) }),
  fc.record({ how: fc.constant("longer" as const), at: fc.nat(20), bit: fc.nat(255) }),
);

const damaged = (bytes: Uint8Array, { how, at, bit }: { how: string; at: number; bit: number }): Buffer => {
  const copy = Buffer.from(bytes);
  if (how === "cut") return copy.subarray(0, at % (copy.length + 1));
  if (how === "longer") return Buffer.concat([copy, Buffer.alloc(at + 1, bit)]);
  const place = at % copy.length;
  copy[place] = (copy[place] as number) ^ (1 << bit);
  return copy;
};

test("random bytes are refused with DecodeFault, by every decoder", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      for (const [, decode] of decoders)
        faultOrFine(
          () => decode(bytes),
          () => Buffer.from(bytes).toString("hex"),
        );
    }),
    { numRuns: 300 },
  );
});

test("a message that was cut, lengthened or has a bit changed is refused with DecodeFault or read as another", () => {
  fc.assert(
    fc.property(
      arbitrary.linkMessage,
      arbitrary.frame,
      arbitrary.cell,
      arbitrary.conflict,
      damage,
      (message, written, cell, conflict, how) => {
        const out = new ByteWriter(1);
        writeCell(out, cell, (origin) => origin);
        const frame = arbitrary.encodeFrame(written);
        for (const bytes of [encodeLinkMessage(message), frame, out.take(), encodeConflict(conflict)]) {
          const broken = damaged(bytes, how);
          for (const [, decode] of decoders)
            faultOrFine(
              () => decode(broken),
              () => broken.toString("hex"),
            );
        }
        const broken = damaged(frame, how);
        // The CRC catches every damage to a frame; only of nothing there is nothing to say.
        if (!broken.equals(frame) && broken.length > 0) assert.throws(() => checked(broken), DecodeFault);
      },
    ),
    { numRuns: 300 },
  );
});

test("a stored checkpoint entry with a bit changed is a DecodeFault or another entry, never anything else", () => {
  fc.assert(
    fc.property(steps, damage, (script, how) => {
      const history = runHistory(script);
      const state = newState("reader", "aaaaaaaaaad0000");
      for (const bytes of history.frames) apply(state, bytes);
      const entries = checkpointOf(state);
      const loaded = newState("reader");
      const checkpointer = new Checkpointer(loaded, () => 0);
      for (const [key, value] of entries) if (key[0] === 0x6f) loadEntry(loaded, checkpointer, key, value);
      for (const [key, value] of entries) {
        if (key[0] === 0x6f || value.length === 0) continue;
        const broken = damaged(value, how);
        faultOrFine(
          () => loadEntry(loaded, checkpointer, key, broken),
          () => broken.toString("hex"),
        );
      }
    }),
    { numRuns: 100 },
  );
});

test("nothing is reserved, and nothing looped over, because of a number that was claimed", () => {
  const huge = "ffffffffffffff0f";
  const milliard = "8094ebdc03";
  const origin = `10${Buffer.from("a.aaaaaaaaaaa0000").toString("hex")}`.replace(/^10/, "11");
  const claims: readonly (readonly [string, string])[] = [
    ["a frame of 4 GiB", `02ffffffff01`],
    [
      "a frame one byte over the limit",
      `02${(() => {
        const size = Buffer.alloc(4);
        size.writeUInt32LE(frameBytesMax + 1);
        return size.toString("hex");
      })()}01`,
    ],
    ["a vector of 10^9 origins", `04${milliard}`],
    ["a vector of 2^53 - 1 origins", `04${huge}`],
    ["a heartbeat of 10^9 facts", `03000000${milliard}`],
    [
      "a fact that saw 10^9 peers",
      `0300000001${"0161"}0f${Buffer.from("aaaaaaaaaaa0000").toString("hex")}01${milliard}`,
    ],
    ["10^9 contexts", `060000${milliard}`],
    ["10^9 buckets", `0f01${milliard}`],
    ["10^9 keys with lanes", `100100${milliard}`],
    ["10^9 keys", `11${milliard}`],
    ["a key of 10^9 bytes", `1101${milliard}`],
  ];
  for (const [what, hex] of claims) {
    const bytes = Buffer.from(hex, "hex");
    const before = process.memoryUsage();
    const startedMs = performance.now();
    assert.throws(
      () => {
        const message = decodeLinkMessage(bytes);
        if (message.kind === "frames") checked(message.frames);
      },
      DecodeFault,
      what,
    );
    assert(performance.now() - startedMs < 1000, `${what}: no loop over what is claimed`);
    const after = process.memoryUsage();
    const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
    assert(grown < 4 * 1024 * 1024, `${what}: ${grown} bytes`);
  }
  const cells: readonly (readonly [string, string])[] = [
    ["a bundle of 10^9 origins", milliard],
    ["a cell of 10^9 observed totals", `01${origin}016b${"0b"}${"00".repeat(8)}0001${"00"}${milliard}`],
    ["a cell of 10^9 totals", `01${origin}016b10${milliard}`],
    ["a value of 10^9 bytes", `01${origin}016b03${"00".repeat(8)}0001${milliard}`],
  ];
  for (const [what, hex] of cells) {
    const startedMs = performance.now();
    assert.throws(() => readCellBundle(Buffer.from(hex, "hex"), table(), () => {}), DecodeFault, what);
    assert(performance.now() - startedMs < 1000, `${what}: no loop over what is claimed`);
  }
});

test("a frame whose claims do not fit its bytes is refused though its CRC fits", () => {
  const body = (parts: (out: ByteWriter) => void): Buffer => {
    const out = new ByteWriter(64);
    out.u32(0);
    parts(out);
    out.u32(0);
    return resealed(out.take());
  };
  const origin = "a.aaaaaaaaaaa0000";
  const head = (out: ByteWriter, first: number, count: number): void => {
    out.u8(frameVersion);
    out.u8(origin.length);
    out.raw(Buffer.from(origin));
    out.varint(first);
    out.u32(count);
  };
  const op = (out: ByteWriter): void => {
    out.u8(opKind.del);
    out.varint(1);
    out.string("k");
  };
  const refused: readonly (readonly [string, (out: ByteWriter) => void])[] = [
    [
      "another version",
      (out) => {
        out.u8(frameVersion + 1);
        op(out);
      },
    ],
    [
      "no op",
      (out) => {
        head(out, 1, 0);
        out.varint(0);
      },
    ],
    [
      "a first seq of 0",
      (out) => {
        head(out, 0, 1);
        out.varint(0);
        op(out);
      },
    ],
    [
      "4,294,967,295 ops in a few bytes",
      (out) => {
        head(out, 1, 0xffffffff);
        out.varint(0);
        op(out);
      },
    ],
    [
      "a last seq beyond 2^53",
      (out) => {
        head(out, Number.MAX_SAFE_INTEGER, 2);
        out.varint(0);
        op(out);
        op(out);
      },
    ],
    [
      "10^9 origins in the context",
      (out) => {
        head(out, 1, 1);
        out.varint(1e9);
        op(out);
      },
    ],
    [
      "one op fewer than announced",
      (out) => {
        head(out, 1, 2);
        out.varint(0);
        op(out);
      },
    ],
    [
      "one op more than announced",
      (out) => {
        head(out, 1, 1);
        out.varint(0);
        op(out);
        op(out);
      },
    ],
    [
      "an op of kind 3",
      (out) => {
        head(out, 1, 1);
        out.varint(0);
        out.u8(3);
        out.varint(1);
        out.string("k");
      },
    ],
    [
      "an unknown flag",
      (out) => {
        head(out, 1, 1);
        out.varint(0);
        out.u8(0x10);
        out.varint(1);
        out.string("k");
      },
    ],
    [
      "stamps beyond 2^53",
      (out) => {
        head(out, 1, 2);
        out.varint(0);
        for (let index = 0; index < 2; index++) {
          out.u8(opKind.del);
          out.varint(Number.MAX_SAFE_INTEGER);
          out.string("k");
        }
      },
    ],
    ...[Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5].map(
      (expiresAtMs) =>
        [
          `an expiry of ${expiresAtMs}`,
          (out: ByteWriter) => {
            head(out, 1, 1);
            out.varint(0);
            out.u8(opKind.set | 0x04);
            out.varint(1);
            out.string("k");
            out.string("v");
            out.f64(expiresAtMs);
          },
        ] as const,
    ),
  ];
  for (const [what, parts] of refused) assert.throws(() => checked(body(parts)), DecodeFault, what);
  assert.doesNotThrow(() =>
    checked(
      body((out) => {
        head(out, 1, 1);
        out.varint(0);
        op(out);
      }),
    ),
  );
});

test("an infinite or negative horizon is refused: it would empty the digest or stop it for ever", () => {
  for (const horizonMs of [Number.POSITIVE_INFINITY, Number.NaN, -1]) {
    const end = encodeLinkMessage({ kind: "transfer-end", vvEnd: [], horizonMs, floor: [], clock: 0 });
    assert.throws(() => decodeLinkMessage(end), DecodeFault);
  }
});

test("an unknown version of a stored checkpoint is named", () => {
  const state = newState("a");
  assert.throws(() => decodeMeta(Uint8Array.of(2), state), /checkpoint format 2, this program reads 1/);
});
