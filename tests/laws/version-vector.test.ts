/** Version vectors are a lattice: join is the least upper bound, meet the greatest lower one, covers the order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteReader, ByteWriter } from "../../protocol/bytes.ts";
import { type OriginId, parseOriginId } from "../../protocol/words.ts";
import { OriginTable } from "../../server/replica/origins.ts";
import {
  at,
  covers,
  equal,
  isZero,
  join,
  meet,
  opsAhead,
  readVersionVector,
  setAt,
  type VersionVector,
  writeVersionVector,
} from "../../server/replica/version-vector.ts";

const vector = fc.array(fc.nat(4), { maxLength: 5 });

const origin = (index: number): OriginId => {
  const id = `peer${index}.${"z".repeat(14)}${index}`;
  assert(parseOriginId(id) !== undefined);
  return id as OriginId;
};

test("join and meet are commutative, associative, idempotent and absorb each other", () => {
  fc.assert(
    fc.property(vector, vector, vector, (a, b, c) => {
      assert(equal(join(a, b), join(b, a)));
      assert(equal(meet(a, b), meet(b, a)));
      assert(equal(join(a, join(b, c)), join(join(a, b), c)));
      assert(equal(meet(a, meet(b, c)), meet(meet(a, b), c)));
      assert(equal(join(a, a), a) && equal(meet(a, a), a));
      assert(equal(join(a, meet(a, b)), a));
      assert(equal(meet(a, join(a, b)), a));
    }),
  );
});

test("covers is an order, join its least upper bound and meet its greatest lower bound", () => {
  fc.assert(
    fc.property(vector, vector, vector, (a, b, c) => {
      assert(covers(a, a));
      if (covers(a, b) && covers(b, c)) assert(covers(a, c));
      assert.equal(covers(a, b) && covers(b, a), equal(a, b));
      assert(covers(join(a, b), a) && covers(join(a, b), b));
      assert(covers(a, meet(a, b)) && covers(b, meet(a, b)));
      if (covers(c, a) && covers(c, b)) assert(covers(c, join(a, b)));
      if (covers(a, c) && covers(b, c)) assert(covers(meet(a, b), c));
    }),
  );
});

test("trailing zeros mean nothing, and a vector is ahead by exactly the ops it adds", () => {
  fc.assert(
    fc.property(vector, vector, fc.nat(3), (a, b, zeros) => {
      const padded = [...a, ...new Array<number>(zeros).fill(0)];
      assert(equal(a, padded));
      assert.equal(isZero(padded), isZero(a));
      assert.equal(opsAhead(a, b) === 0, covers(b, a));
      assert.equal(opsAhead(join(a, b), b), opsAhead(a, b));
    }),
  );
});

test("setAt changes one place, whatever the length", () => {
  fc.assert(
    fc.property(vector, fc.nat(8), fc.nat(9), (a, place, seq) => {
      const changed = [...a];
      setAt(changed, place, seq);
      for (let index = 0; index < 10; index++) assert.equal(at(changed, index), index === place ? seq : at(a, index));
    }),
  );
});

test("the codec keeps a vector, also where the reader numbers origins otherwise", () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeNat(), { maxLength: 5 }), fc.shuffledSubarray([0, 1, 2, 3, 4]), (vv, met) => {
      const here = new OriginTable();
      for (let index = 0; index < 5; index++) here.number(origin(index));
      const there = new OriginTable();
      for (const index of met) there.number(origin(index));
      const out = new ByteWriter();
      writeVersionVector(out, vv, here);
      const read: VersionVector = readVersionVector(new ByteReader(out.take()), there);
      for (let index = 0; index < 5; index++) {
        assert.equal(at(read, there.number(origin(index))), at(vv, index));
      }
    }),
  );
});
