/** One attempt: what of the waiting operations happened before, and what a register remembers for that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { OriginId } from "../../protocol/words.ts";
import { type Ballot, noBallot } from "../../server/registers/ballot.ts";
import { type Evaluation, evaluate, type WaitingOperation } from "../../server/registers/evaluate.ts";
import type { Operation } from "../../server/registers/index.ts";
import { LeaseWatch, lapseMs } from "../../server/registers/leases.ts";
import { absentRegister, type RegisterValue } from "../../server/registers/register-value.ts";

const origin = "a.000000000000001" as OriginId;
const round = (counter: number): Ballot => ({ counter, origin });
const absent = absentRegister(noBallot);
const leases = new LeaseWatch();

const waiting = (operation: Operation, more: Partial<WaitingOperation> = {}): WaitingOperation => ({
  id: 1,
  operation,
  operationId: undefined,
  deadlineMs: 1,
  bytes: 0,
  arrival: 1,
  attempts: [],
  onAnswer: undefined,
  answered: false,
  ...more,
});
const plus: Operation = { kind: "incrby", amount: 1 };
const attempt = (value: RegisterValue, counter: number, ...operations: WaitingOperation[]): Evaluation =>
  evaluate(value, operations, { key: "k", ballot: round(counter), leases, nowMs: 0 });
const answers = ({ answers: all }: Evaluation): unknown[] =>
  all.map((answer) =>
    answer === "unknown" ? answer : "value" in answer.reply ? answer.reply.value : answer.reply.kind,
  );

test("waiting operations take effect one after the other, each with a version of its own", () => {
  const made = attempt(absent, 1, waiting(plus), waiting({ kind: "get" }), waiting(plus));
  assert.deepEqual(answers(made), [1, "text", 2]);
  assert.deepEqual(made.effective, [true, false, true]);
  assert.deepEqual(
    made.answers.map((answer) => answer !== "unknown" && answer.version),
    [65, 65, 67],
  );
  assert.deepEqual(made.value.rounds, [round(1)]);
});

test("an attempt that turns out to have taken place is answered, not done again", () => {
  const first = attempt(absent, 1, waiting(plus));
  const again = waiting(plus, {
    attempts: [{ ballot: round(1), answer: { reply: { kind: "integer", value: 1 }, version: 65, leftMs: 0 } }],
  });
  const second = attempt(first.value, 2, again);
  assert.deepEqual(answers(second), [1]);
  assert.equal(second.changed, false);
  // Not in the register, and no round that new was forgotten: it did not take place.
  assert.deepEqual(answers(attempt(absent, 2, again)), [1]);
  assert.equal(attempt(absent, 2, again).changed, true);
});

test("what happened so long ago that the register has forgotten is unknown, and is not done again", () => {
  let { value } = attempt(absent, 1, waiting(plus));
  for (let counter = 2; counter <= 17; counter++) ({ value } = attempt(value, counter, waiting(plus)));
  assert.equal(value.forgotten, 1);
  const again = waiting(plus, {
    attempts: [{ ballot: round(1), answer: { reply: { kind: "integer", value: 1 }, version: 65, leftMs: 0 } }],
  });
  const late = attempt(value, 18, again);
  assert.deepEqual(answers(late), ["unknown"]);
  assert.equal(late.changed, false);
  assert.deepEqual(answers(attempt(absentRegister(round(1)), 18, again)), ["unknown"], "a purge forgets too");
});

test("a retry by operation id is answered from the register for 32 operations", () => {
  const named = (id: string): WaitingOperation => waiting(plus, { operationId: id });
  let { value } = attempt(absent, 1, named("first"));
  for (let index = 1; index < 32; index++) ({ value } = attempt(value, 1 + index, named(`other ${index}`)));
  assert.deepEqual(answers(attempt(value, 100, named("first"))), [1]);
  ({ value } = attempt(value, 100, named("one more")));
  assert.deepEqual(answers(attempt(value, 101, named("first"))), [34], "forgotten: it is done once more");
});

test("also an operation that did nothing keeps its id, so that its twin cannot do it later", () => {
  const nx: Operation = { kind: "set", value: "x", condition: "absent", returnsOld: false, ttlMs: 0 };
  const held = attempt(absent, 1, waiting(nx)).value;
  const refused = attempt(held, 2, waiting(nx, { operationId: "o" }));
  assert.deepEqual([answers(refused), refused.changed], [["nil"], true]);
  const gone = attempt(refused.value, 3, waiting({ kind: "del" })).value;
  assert.deepEqual(answers(attempt(gone, 4, waiting(nx, { operationId: "o" }))), ["nil"]);
});

test("an answer too long to keep is said to be so", () => {
  const long = attempt(absent, 1, waiting({ kind: "append", text: "x".repeat(2000) })).value;
  const taken = attempt(long, 2, waiting({ kind: "getdel" }, { operationId: "o" }));
  assert.deepEqual(answers(taken), ["text"]);
  const again = attempt(taken.value, 3, waiting({ kind: "getdel" }, { operationId: "o" }));
  assert.deepEqual(answers(again), ["not-kept"]);
});

test("a lease is over only for who watched this very one for all its time, and is ended by the round", () => {
  const watch = new LeaseWatch();
  const put: Operation = { kind: "set", value: "x", condition: "none", returnsOld: false, ttlMs: 1000 };
  const { value } = attempt(absent, 1, waiting(put));
  watch.see("k", value.lease, 5000);
  const at = (nowMs: number): Evaluation =>
    evaluate(value, [waiting({ kind: "get" })], { key: "k", ballot: round(2), leases: watch, nowMs });
  assert.equal(lapseMs(1000), 1060);
  assert.deepEqual(answers(at(6059)), ["text"], "past its time, but clocks may be wrong");
  assert.deepEqual([answers(at(6060)), at(6060).changed, at(6060).value.version], [["nil"], true, 128]);
  watch.see("k", { id: 4711, ttlMs: 1000 }, 6000);
  assert.deepEqual(answers(at(9000)), ["text"], "another lease was watched");
});
