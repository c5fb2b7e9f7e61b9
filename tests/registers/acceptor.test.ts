/** What lies at one acceptor, listed in pieces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RegisterRecord } from "../../protocol/register-messages.ts";
import { encodeRegisterValue } from "../../protocol/register-value.ts";
import type { OriginId } from "../../protocol/words.ts";
import { Acceptor, scanStart } from "../../server/registers/acceptor.ts";
import { BallotClock, noBallot } from "../../server/registers/ballot.ts";
import { absentRegister } from "../../server/registers/register-value.ts";

const origin = "a.08rl11dtudcr5qo" as OriginId;

const held = (key: string, counter: number, bytes: string | undefined): RegisterRecord => {
  const ballot = { counter, origin };
  const value = encodeRegisterValue({ ...absentRegister(noBallot), bytes, version: counter });
  return { kind: "accept", key, accepted: ballot, value };
};

test("a scan sees every key that stays once or more, whatever comes and goes between its slices", () => {
  const change = fc.record({ key: fc.integer({ min: 0, max: 30 }), what: fc.constantFrom("put", "delete", "remove") });
  fc.assert(
    fc.property(
      fc.array(fc.array(change, { maxLength: 6 }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 7 }),
      (between, count) => {
        const hooks = {
          mayBegin: () => true,
          append: () => 0,
          promised: () => {},
          held: () => {},
          removed: () => {},
          epochRaised: () => {},
        };
        const acceptor = new Acceptor(new BallotClock(), hooks, 1000);
        let counter = 0;
        const live = new Set<string>();
        const apply = ({ key, what }: { readonly key: number; readonly what: string }): void => {
          const name = `k${key}`;
          counter++;
          if (what === "remove") {
            if (!live.has(name)) acceptor.replay({ kind: "remove", key: name, floor: { counter, origin } });
            return;
          }
          acceptor.replay(held(name, counter, what === "put" ? "v" : undefined));
          if (what === "put") live.add(name);
          else live.delete(name);
        };
        for (let key = 0; key < 20; key++) apply({ key, what: "put" });
        const stayed = new Set(live);
        const seen = new Set<string>();
        const slices = between[Symbol.iterator]();
        for (let cursor = scanStart; ; ) {
          cursor = acceptor.scan(cursor, count, (key) => seen.add(key));
          if (cursor === 0) break;
          for (const each of slices.next().value ?? []) {
            apply(each);
            for (const key of stayed) if (!live.has(key)) stayed.delete(key);
          }
        }
        for (const key of stayed) assert(seen.has(key), `${key} was there all the time`);
        assert.equal(acceptor.liveCount, live.size);
      },
    ),
  );
});
