/**
 * Known mistakes of strong keys, each as a patch of the sources. Most are rules of docs/STRONG.md with the bug that taught
 * them; some patch the simulated shell. `find` must occur exactly once.
 */
import type { Mutant } from "../mutants.ts";

const core = (name: string, why: string, file: string, find: string, replace: string, seed = 1): Mutant => ({
  name,
  why,
  registers: true,
  seed,
  edits: [{ file: `server/registers/${file}.ts`, find, replace }],
});

const shell = (name: string, why: string, find: string, replace: string): Mutant => ({
  name,
  why,
  registers: true,
  edits: [{ file: "scripts/sim/registers/peer.ts", find, replace }],
});

const acceptor: readonly Mutant[] = [
  core(
    "promise-not-durable",
    "a promise is told of before it is on disk",
    "acceptor",
    "return counter <= this.#ceilingOnDisk ? 0 : this.#ceilingRecord;",
    "return 0;",
  ),
  core(
    "promise-tells-undurable",
    "a promise tells of a value that is not on disk yet",
    "acceptor",
    "Math.max(this.#record, promised.record, this.#ceilingOver(ballot))",
    "Math.max(this.#record, this.#ceilingOver(ballot))",
  ),
  core(
    "ceiling-unheeded",
    "what runs before this one promised is forgotten",
    "acceptor",
    "return highestBallot(bound, this.#promisedBefore);",
    "return bound;",
  ),
  core(
    "next-above-ceiling",
    "the promise that comes with an accept is not under the ceiling",
    "acceptor",
    "    this.#ceilingOver(promise);\n",
    "",
  ),
  core(
    "accept-not-durable",
    "an accept is told of before it is on disk",
    "acceptor",
    "this.#answer(from, this.#accepted(request, next), accepted.record);",
    "this.#answer(from, this.#accepted(request, next), 0);",
  ),
  core(
    "read-not-durable",
    "a query is answered from memory",
    "acceptor",
    'this.#told("state", request, register), this.#recordOf(register));',
    'this.#told("state", request, register), 0);',
  ),
  core(
    "accept-keeps-promise",
    "an accept does not raise the promise",
    "acceptor",
    "const promise = highestBallot(ballot, next);",
    "const promise = register?.promise ?? ballot;",
  ),
  {
    name: "counter-only",
    why: "ballots are compared by their counters alone: of two equal ones both are promised",
    registers: true,
    edits: [
      {
        file: "server/registers/ballot.ts",
        find: "  if (a.origin === b.origin) return 0;\n  return a.origin < b.origin ? -1 : 1;",
        replace: "  return 0;",
      },
      {
        file: "server/registers/acceptor.ts",
        find: "    if (!isAbove(ballot, bound)) {",
        replace: "    if (isAbove(bound, ballot)) {",
      },
    ],
  },
  core(
    "accept-below-accepted",
    "an accept below the accepted ballot is let in",
    "acceptor",
    "if (isAbove(bound, ballot)) {",
    "if (isAbove(register === undefined ? this.floor : register.promise, ballot) && register?.accepted.counter === 0) {",
  ),
  core(
    "floor-dropped",
    "a removed key leaves no floor: what was sent before it was removed is let in",
    "acceptor",
    "const bound = register === undefined ? this.floor :",
    "const bound = register === undefined ? noBallot :",
  ),
  core(
    "checkpoint-without-floor",
    "a checkpoint does not store the floor: a removed key comes back with what was sent before",
    "acceptor",
    'const admission = { kind: "admission", admitted, epoch, floor, highest: this.#clock.highest } as const;',
    'const admission = { kind: "admission", admitted, epoch, floor: noBallot, highest: this.#clock.highest } as const;',
  ),
  core(
    "checkpoint-without-ceiling",
    "a checkpoint does not store the ceiling",
    "acceptor",
    "return this.#ceiling === 0 ? [admission] :",
    "return this.#ceiling >= 0 ? [admission] :",
  ),
  core(
    "removes-unseen",
    "a key is removed though its register is not the dead one of that round",
    "acceptor",
    "if (register === undefined || !isSame(register.accepted, ballot) || isAbove(this.#bound(register), ballot)) return;\n    if (register.live) return;",
    "if (register === undefined) return;",
  ),
];

const proposer: readonly Mutant[] = [
  {
    name: "ballot-reused",
    why: "the next attempt after a timeout goes out under the same ballot",
    registers: true,
    edits: [
      {
        file: "server/registers/proposer.ts",
        find: "    const ballot = this.#options.clock.next(this.#options.origin, this.epoch);\n    const { sweep, key } = state;",
        replace:
          "    const ballot = this.#reused ?? this.#options.clock.next(this.#options.origin, this.epoch);\n    const { sweep, key } = state;",
      },
      {
        file: "server/registers/proposer.ts",
        find: "    this.#drop(state, round);\n    this.#dropPromise(state);",
        replace:
          '    this.#drop(state, round);\n    this.#reused = round.phase === "accept" && round.refused === 0 ? round.ballot : undefined;\n    this.#dropPromise(state);',
      },
      {
        file: "server/registers/proposer.ts",
        find: "  #arrivals = 0;\n",
        replace: "  #arrivals = 0;\n  #reused: Ballot | undefined;\n",
      },
      {
        file: "server/registers/acceptor.ts",
        find: "    if (!isAbove(ballot, bound)) {",
        replace: "    if (isAbove(bound, ballot)) {",
      },
      {
        file: "server/registers/acceptor.ts",
        find: "      if (register.value !== value) return this.#refuseAbsurd();\n",
        replace: "      register.value = value;\n",
      },
      {
        file: "server/registers/register-value.ts",
        find: '  invariant(ballot.counter > last, "the counters of a register\'s rounds grow");\n',
        replace: "  if (ballot.counter <= last) return value;\n",
      },
      {
        file: "server/registers/proposer.ts",
        find: 'if (!round.isAboveByCounter) return this.#giveUp(state, "now");',
        replace: "",
      },
    ],
  },
  {
    name: "promise-kept",
    why: "the cached promise outlives a round that failed",
    registers: true,
    edits: [
      {
        file: "server/registers/proposer.ts",
        find: "    this.#dropPromise(state);\n    if (promise === undefined || this.nowMs",
        replace: "    if (promise === undefined || this.nowMs",
      },
      // What this peer's own acceptor promised meanwhile would show it.
      {
        file: "server/registers/proposer.ts",
        find: "    if (state?.promise === undefined || !isAbove(ballot, state.promise.ballot)) return;\n    this.#dropPromise(state);\n",
        replace: "    if (state?.promise === undefined || ballot.counter >= 0) return;\n",
      },
    ],
  },
  core(
    "stale-answers",
    "answers are counted as often as they come",
    "round",
    "    if (this.#answerers.includes(from)) return false;\n",
    "",
  ),
  {
    name: "other-value-left-out",
    why: "an answer without a value is taken for the value this peer holds, whatever its ballot",
    registers: true,
    edits: [
      { file: "server/registers/acceptor.ts", find: "isSame(accepted, known) ?", replace: "known.counter > 0 ?" },
      {
        file: "server/registers/round.ts",
        find: "response.value === undefined && !isSame(response.accepted, this.known))",
        replace: "response.value === undefined && this.known === undefined)",
      },
    ],
  },
  core(
    "read-highest",
    "a read answers with the highest of a quorum, though they do not agree",
    "proposer",
    "    const agreed = round.agreed(this.#quorum);\n    if (agreed === undefined) {",
    "    const agreed = round.agreedTo >= this.#quorum ? round.highest() : undefined;\n    if (agreed === undefined) {",
  ),
  core(
    "not-written-back",
    "a condition that fails is answered though the quorum does not agree",
    "proposer",
    "if (!evaluation.changed && !wasInAccept && round.agreed(this.#quorum) !== undefined) {",
    "if (!evaluation.changed && !wasInAccept) {",
  ),
  core(
    "joined-late",
    "what came after the quorum was asked is answered by what it said",
    "proposer",
    "this.#answer(state, this.#evaluate(state, value, round.ballot, round.joined));\n      return",
    "this.#answer(state, this.#evaluate(state, value, round.ballot));\n      return",
  ),
  core(
    "done-again",
    "an operation whose accept went unanswered is simply done again",
    "evaluate",
    "const known = earlierAnswer(held, waiting);",
    "const known = undefined as Answer | undefined;",
  ),
  core(
    "retry-without-id",
    "the operation id of a retry is not looked for",
    "evaluate",
    "  if (kept !== undefined) return",
    "  if (kept !== undefined && kept.version < 0) return",
  ),
  core(
    "failure-not-kept",
    "an operation id is kept only if the operation did something",
    "evaluate",
    "  const { reply } = result;\n",
    "  const { reply } = result;\n  if (result.value === value) return { value, reply };\n",
  ),
  core(
    "undone-at-deadline",
    "an operation that was in an accept is called undone at its deadline",
    "proposer",
    'kind: waiting.attempts.length > 0 ? "unknown" : "no-quorum"',
    'kind: "no-quorum"',
  ),
  core(
    "version-of-value",
    "a version counts from the register's own, which a purge forgets",
    "evaluate",
    "version: versionOf(ballot, index + 1),",
    "version: value.version + 1,",
  ),
];

const background: readonly Mutant[] = [
  core(
    "majority-sweep",
    "a dead key is removed when a majority holds it dead",
    "proposer",
    "return round.sweep === undefined ? this.#quorum : this.#options.peers.length;",
    "return this.#quorum;",
  ),
  core(
    "sweep-at-once",
    "a dead key is purged while its operation ids are still asked for",
    "sweep",
    "const keptMs = this.#keptMs * turns;",
    "const keptMs = turns;",
  ),
  shell(
    "lease-by-wall-clock",
    "leases are judged by a clock that somebody sets",
    "(this.world.nowMs - this.#clockSinceMs) * this.#rate;",
    "(this.world.nowMs - this.#clockSinceMs) * this.#rate + this.wallOffsetMs;",
  ),
  core(
    "lease-without-margin",
    "a lease is ended at its time, whatever the clocks do",
    "leases",
    "ttlMs * (1 + clockRateError) + marginMs;",
    "ttlMs * 0.9;",
  ),
  core(
    "lease-renewal-unseen",
    "a renewed lease is watched from its first beginning on",
    "leases",
    "if (watched?.lease.id !== lease.id) this",
    "if (watched !== undefined) this.#watched.set(key, { lease, sinceMs: watched.sinceMs });\n    else this",
  ),
  core(
    "lease-ended-locally",
    "a lease that this peer finds over is over for it without a round",
    "proposer",
    '      return this.#giveUp(state, "now");\n    }\n    this.#count("oneRoundReads");',
    '      value.lease = undefined;\n      value.bytes = undefined;\n    }\n    this.#count("oneRoundReads");',
  ),
];

const disks: readonly Mutant[] = [
  {
    name: "amnesia",
    why: "an acceptor that lost its disk answers as if it were new",
    registers: true,
    edits: [
      { file: "server/registers/acceptor.ts", find: "if (!this.admitted) return;", replace: "" },
      {
        file: "server/registers/acceptor.ts",
        find: '    invariant(this.#registers.size === 0, "a disk that is admitted holds no registers");\n',
        replace: "",
      },
    ],
  },
  core(
    "let-in-among-holders",
    "an empty disk is let in by itself once one other peer is empty too",
    "registers",
    "this.#others.every((peer) => this.#blank.has(peer))",
    "this.#others.some((peer) => this.#blank.has(peer))",
  ),
  core(
    "let-in-unasked",
    "an empty disk is let in by itself, whatever the others hold",
    "registers",
    "    if (blank) this.#blank.add(from);\n    else this.#othersHold = true;\n",
    "    this.#blank.add(from);\n    this.#othersHold ||= !blank;\n",
  ),
  core(
    "readmitted-unread",
    "a lost disk is readmitted before what it held was copied",
    "readmission",
    "if (this.finished || !this.#isRaised || this.#reading > 0 || this.#unread.size > 0) return;\n    if (!survivors.every(({ listed }) => listed)) return;",
    "if (this.finished || !this.#isRaised) return;",
  ),
  shell(
    "backup-trusted",
    "a disk that was rolled back answers from what it held then",
    "if (this.#isRolledBack) registers.expel();",
    "if (this.#isRolledBack) this.lost = false;",
  ),
  {
    name: "tail-trusted",
    why: "the shell says synced when it has only written",
    registers: true,
    edits: [
      {
        file: "scripts/sim/registers/peer.ts",
        find: "      this.#appended = ready.appendedThrough;\n",
        replace: "      this.#appended = ready.appendedThrough;\n      registers.synced(this.#appended);\n",
      },
    ],
  },
];

export const registerMutants: readonly Mutant[] = [...acceptor, ...proposer, ...background, ...disks];
