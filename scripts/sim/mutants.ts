/**
 * Known mistakes, each as a patch of the sources: what this core must not do, and the proof that the simulation sees it.
 *
 * Three kinds: rules that the executable model of the protocol needed (each was once "simplified" away and lost or
 * resurrected data), mistakes that were really in this core, and steps of the shell's contract done in the wrong order
 * (these patch the simulator's own shell). `find` must occur exactly once.
 */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly why: string;
  readonly edits: readonly Edit[];
  /** Where to begin, for one that takes long to show. */
  readonly seed?: number;
  /** For one that needs more of them than most seeds have. */
  readonly peers?: number;
  /** Of strong keys. */
  readonly registers?: boolean;
  /** For one that chance does not bring about: the script of tests/scripts that does. */
  readonly script?: string;
}

const replica = (file: string): string => `server/replica/${file}.ts`;

/** One edit of one file of the core. */
const core = (name: string, why: string, file: string, find: string, replace: string): Mutant => ({
  name,
  why,
  edits: [{ file: replica(file), find, replace }],
});

/** One edit of the simulated shell. */
const shell = (name: string, why: string, find: string, replace: string): Mutant => ({
  name,
  why,
  edits: [{ file: "scripts/sim/peer.ts", find, replace }],
});

// ---- causal delivery, catch-up ----------------------------------------------------------------------------------------

const delivery: readonly Mutant[] = [
  core(
    "no-causal",
    "frames are applied when next of their origin, without looking at their context",
    "incoming",
    "if (number === undefined || at(state.vv, number) < seq) return false;",
    "if (number === undefined || at(state.vv, number) < seq) continue;",
  ),
  core(
    "gap",
    "a frame is applied over a gap in its origin",
    "incoming",
    "if (at(state.vv, origin) !== frame.first - 1) return false;",
    "if (at(state.vv, origin) >= frame.first) return false;",
  ),
  {
    name: "same-origin",
    why: "a start goes on with the incarnation, and the seqs, of the run before",
    edits: [
      {
        file: replica("replica"),
        find: "      case recordType.start:\n        return;",
        replace:
          '      case recordType.start:\n        state.incarnation = Buffer.from(record.bytes).toString("latin1") as Incarnation;\n        return;',
      },
      {
        file: replica("replica"),
        find: "const incarnation = parseIncarnation(text);",
        replace: 'const incarnation = state.incarnation !== "" ? state.incarnation : parseIncarnation(text);',
      },
      {
        file: replica("replica"),
        find: 'invariant(at(state.vv, state.self) === 0, "a new origin has written nothing");',
        replace: "",
      },
      // Else the oracle says at once that an origin began twice.
      {
        file: "scripts/sim/oracle.ts",
        find: "if (this.#numbers.has(id)) violate(",
        replace: 'if (this.#numbers.has(id)) return this.#numbers.get(id) as number;\n    if (id === "") violate(',
      },
    ],
  },
  core(
    "no-pull",
    "nothing is fetched because of a heartbeat or a waiting frame",
    "incoming",
    "if (!waits && !heard && !link.fetchLater && !gatedFetch) continue;",
    "if (!link.fetchLater && !gatedFetch) continue;",
  ),
  core(
    "keep-buffer",
    "waiting frames outlive the link they came by",
    "replica",
    "    this.#links.delete(id);\n",
    "    link.ready = false;\n    if (link.waiting.length === 0) this.#links.delete(id);\n",
  ),
  core(
    "unsealed-context",
    "the open frame is not sealed before a received one is applied: its context claims too much",
    "incoming",
    "  #apply({ frame, origin, stampMax }: WaitingFrame): void {\n    const state = this.#state;\n    state.seal();\n",
    "  #apply({ frame, origin, stampMax }: WaitingFrame): void {\n    const state = this.#state;\n",
  ),
  core(
    "context-not-told",
    "a frame's context leaves one origin out",
    "state",
    "      delta.push([this.origins.id(origin), seq]);",
    "      if (delta.length < 1) delta.push([this.origins.id(origin), seq]);",
  ),
  core(
    "frame-in-parts",
    "a frame is taken for applied when its first op is",
    "incoming",
    "    setAt(state.vv, origin, frame.last);\n    this.#rememberCrc",
    "    setAt(state.vv, origin, frame.first);\n    this.#rememberCrc",
  ),
  core(
    "known-joined",
    "what a peer tells is joined with what was sent to it before: a frame that it dropped is never sent again",
    "outgoing",
    "    link.known = [...have];\n",
    "    for (const origin of have.keys()) setAt(link.known, origin, Math.max(at(link.known, origin), at(have, origin)));\n",
  ),
  core(
    "log-index-off-by-one",
    "a stream begins one record too late",
    "log-index",
    "return low === 0 ? undefined : (this.#entries[low - 1] as Entry).lsn;",
    "return low === 0 ? undefined : (this.#entries[low - 1] as Entry).lsn + 1;",
  ),
  core(
    "index-keeps-trimmed",
    "the log index keeps its last entry though the log was trimmed past it",
    "log-index",
    "while (this.#entries.length > 0 && (this.#entries[0] as Entry).lsn < firstLsn) this.#entries.shift();",
    "while (this.#entries.length > 1 && (this.#entries[0] as Entry).lsn < firstLsn) this.#entries.shift();",
  ),
  {
    ...core(
      "sent-is-applied",
      "a transfer in place of a trimmed log leaves out what was sent, though not applied there",
      "outgoing",
      "      this.startStream(link, link.told);\n",
      "      this.startStream(link, link.known);\n",
    ),
    seed: 13000,
  },
];

// ---- facts, purging, expiry -------------------------------------------------------------------------------------------

const purging: readonly Mutant[] = [
  core(
    "hb-volatile",
    "facts speak of what is applied, not of what is synced",
    "replica",
    "    const facts = state.facts.newest()",
    "    state.facts.learn({ peer: state.name, incarnation: state.incarnation, number: ++this.#factNumber, view: [...state.facts.view], vv: [...state.sealedVv()], clock: state.clock.last });\n    state.facts.recount(state.vv);\n    const facts = state.facts.newest()",
  ),
  {
    name: "no-view",
    why: "facts count whatever view they were made in, and links to an older run stay",
    edits: [
      { file: replica("facts"), find: "if (sameView(fact.view, this.view)) this.#counted", replace: "this.#counted" },
      {
        file: replica("facts"),
        find: "return fact !== undefined && sameView(fact.view, this.view);",
        replace: "return fact !== undefined;",
      },
      { file: replica("incoming"), find: 'closeLink(state, link, "a newer run of that peer is known");', replace: "" },
    ],
    seed: 12_400,
  },
  core(
    "no-relay",
    "facts are not relayed: a peer hears only of those it is linked with",
    "replica",
    "const facts = state.facts.newest()",
    "const facts = state.facts.newest().filter((fact) => fact.peer === state.name)",
  ),
  core(
    "ack-naive",
    "a fact counts before what it speaks of is here",
    "facts",
    "if (!covers(vv, fact.vv)) continue;",
    "",
  ),
  {
    ...core(
      "purge-before-checkpoint",
      "what is stable now is purged, though a replay of the log could still bring what it hides",
      "purge",
      "    if (this.#pending.length > 0) return true;\n",
      "    state.purgeable = join(state.purgeable, state.facts.stable(state.vv));\n    if (this.#pending.length > 0) return true;\n",
    ),
    script: "purge-waits-for-a-checkpoint-behind-what-it-hides.txt",
  },
  core(
    "expiry-own-clock",
    "what has expired by the own clock is purged",
    "checkpoint",
    "state.map.advanceHorizon(sweep.stableMs);",
    "state.map.advanceHorizon(state.nowMs);",
  ),
  core(
    "purge-unstable",
    "a tombstone goes as soon as a checkpoint has it",
    "purge",
    "if (totalsLeft === 0 && (base === undefined || (baseDead && baseStable))) {",
    "if (totalsLeft === 0 && (base === undefined || baseDead)) {",
  ),
  core(
    "prune-unstable",
    "an observed total goes before the base that observed it is stable",
    "purge",
    "if (held instanceof CounterCell && (base === undefined || baseStable))",
    "if (held instanceof CounterCell)",
  ),
  core(
    "floor-forgotten",
    "the floor is not raised by what was used for purging",
    "purge",
    "    state.floor = join(state.floor, state.purgeable);\n",
    "",
  ),
  core(
    "never-purged",
    "an expired cell is never looked at again",
    "cell-map",
    "      this.#addCandidate(ref);\n    }\n  }\n\n  /** Takes the list",
    "    }\n  }\n\n  /** Takes the list",
  ),
];

// ---- transfers --------------------------------------------------------------------------------------------------------

const transfers: readonly Mutant[] = [
  {
    name: "never-full",
    why: "every transfer is incremental",
    edits: [
      { file: replica("outgoing"), find: "const full = !covers(have, state.floor);", replace: "const full = false;" },
      {
        file: replica("outgoing"),
        find: "if (!out.full && !covers(out.have, state.floor)) {",
        replace: "if (!out.full && state.nextLsn < 0) {",
      },
    ],
  },
  {
    ...core(
      "judged-once",
      "whether a transfer must be full is judged when it begins, and not again when something is purged under it",
      "outgoing",
      "if (!out.full && !covers(out.have, state.floor)) {",
      "if (!out.full && state.nextLsn < 0) {",
    ),
    script: "a-purge-under-a-transfer-makes-it-full.txt",
  },
  core(
    "no-drop",
    "no covered-dot rule: what the sender purged stays, and comes back",
    "merge",
    "  const { map } = state;\n  let dropped = 0;\n",
    "  const { map } = state;\n  let dropped = 0;\n  if (dropped === 0) return 0;\n",
  ),
  core(
    "drop-full-only",
    "the covered-dot rule is left out of incremental transfers",
    "install",
    "if (ref >= 0) dropped += dropCovered(state, ref, theirs, staging.vv0);",
    "",
  ),
  core(
    "pushed-back",
    "the covered-dot rule's other direction is left out: a total that was pruned here comes back and counts twice",
    "merge",
    "if (has(mine, total.origin, total.seq) && !present) {",
    "if (has(mine, total.origin, total.seq) && !present && total.seq < 0) {",
  ),
  {
    name: "transfer-live",
    why: "transferred cells go straight into the map",
    edits: [
      {
        file: replica("incoming"),
        find: "    staging.addCells(cells);\n",
        replace:
          "    staging.addCells(cells);\n    staging.forEachCell((key, cell) => mergeTransferredCell(this.#state, key, cell, this.#state.vv, staging.vv0));\n",
      },
      {
        file: replica("incoming"),
        find: 'import { applyFrame } from "./merge.ts";',
        replace: 'import { applyFrame, mergeTransferredCell } from "./merge.ts";',
      },
    ],
  },
  core(
    "transfer-without-frames",
    "a transfer is installed without the frames of its scan",
    "install",
    "  for (const frame of staging.frames) {\n    const origin = state.origins.number(frame.origin);\n    if (at(state.vv, origin) >= frame.last) continue;\n    const context",
    "  state.vv = join(state.vv, vvEnd);\n  for (const frame of staging.frames) {\n    const origin = state.origins.number(frame.origin);\n    if (at(state.vv, origin) >= frame.last) continue;\n    const context",
  ),
  core(
    "transfer-base-only",
    "an incremental transfer looks at the base of a cell, not at its totals",
    "outgoing",
    "  return held instanceof CounterCell && held.totals.some((total) => total.seq > at(have, total.origin));\n",
    "  return held === undefined;\n",
  ),
  core(
    "transfer-overwrites",
    "transferred cells replace local ones",
    "merge",
    "const theirsLater = base === undefined || map.beats(ref, theirs.stamp, theirs.origin, theirs.seq);",
    "const theirsLater = true;",
  ),
  core(
    "transfer-unheard",
    "the clock does not hear the stamps of a transfer",
    "install",
    "if (staging.stampMax <= state.clock.ceiling) state.clock.hear(staging.stampMax);",
    "",
  ),
  core(
    "transfer-contexts",
    "the contexts that come with a transfer are not kept",
    "install",
    "if (at(staging.vv0, origin) > at(mine, origin)) state.contexts[origin] = [...context];",
    "",
  ),
  core(
    "newer-base-merged",
    "a base newer than the scan's beginning is merged as if all was known of it",
    "merge",
    "if (theirs.value !== undefined && has(senderVv, theirs.origin, theirs.seq)) {",
    "if (theirs.value !== undefined) {",
  ),
  {
    ...core(
      "newer-base-staged",
      "a peer without data takes over a base newer than the scan's beginning, before its frame",
      "staging",
      "if (cell.value === undefined || cell.seq <= at(this.vv0, cell.origin)) {",
      "if (cell.value === undefined || cell.seq > 0) {",
    ),
    script: "an-empty-peer-takes-a-transfer-over.txt",
  },
  core(
    "taken-over-unstored",
    "the cells of a transfer that was taken over whole are not written by the next checkpoint",
    "staging",
    '      map.load(key, cell, "dirty");',
    "      map.load(key, cell);",
  ),
  {
    ...core(
      "two-transfers-mixed",
      "a transfer that waits is installed with the cells of the next",
      "incoming",
      "    link.stagingEnd = undefined;\n    link.caughtUpWaiting = undefined;\n",
      "",
    ),
    seed: 2800,
  },
  {
    ...core(
      "stop-any-transfer",
      "a late stop ends the wrong transfer, which is then waited for",
      "outgoing",
      '(out.mode === "scan" || out.mode === "transfer-log") && out.number === number',
      '(out.mode === "scan" || out.mode === "transfer-log") && number > 0',
    ),
    peers: 5,
  },
  core(
    "log-across-install",
    "the log is streamed across an installed transfer",
    "install",
    "  state.logIndex.reset(state.nextLsn, state.vv);\n",
    "",
  ),
  {
    ...core(
      "segments-across-install",
      "after a restart, segments from before an installed transfer are streamed",
      "replica",
      "segment.lsn < start && segment.lsn >= state.streamStartLsn",
      "segment.lsn < start",
    ),
    script: "restart-after-transfer-streams-no-gap.txt",
  },
];

// ---- disk: log, checkpoint, clock ceiling, gate -----------------------------------------------------------------------

const disk: readonly Mutant[] = [
  core(
    "checkpoint-vv-of-end",
    "a checkpoint records the vector and log position of its end",
    "checkpoint",
    "this.#encodeMeta(sweep)",
    "this.#encodeMeta({ ...sweep, vv: [...this.#state.vv], lsn: this.#state.nextLsn })",
  ),
  core(
    "checkpoint-over-staging",
    "a checkpoint puts its log position behind the beginning of a transfer that is being staged",
    "checkpoint",
    "lsn: stagingLsn > 0 ? stagingLsn : state.nextLsn,",
    "lsn: stagingLsn > 0 ? state.nextLsn : state.nextLsn,",
  ),
  core(
    "removed-stays-on-disk",
    "what a purge or a transfer took out of the map stays in the checkpoint, a restart brings it back",
    "cell-map",
    "    this.#shard(ref).dropped.push(this.keyAt(ref));\n    this.droppedCount++;\n",
    "",
  ),
  core(
    "old-blocks-go-first",
    "a shard that is written anew loses its old blocks with the first new one, not with the last",
    "checkpoint",
    "if (isWhole && rewriteFrom !== undefined) {",
    "if (rewriteFrom !== undefined) {",
  ),
  core(
    "drops-left-out-of-rewrites",
    "a shard that is written anew in parts says nothing of the keys that left it meanwhile",
    "checkpoint",
    "if (isWhole && rewriteFrom === this.blocks.next(shard)) start",
    "if (rewriteFrom !== undefined) start",
  ),
  {
    ...core(
      "drops-behind-cells",
      "keys that left are noted when there is room, also behind cells written anew",
      "checkpoint",
      "    if (allDropped) {\n",
      "    if (allDropped || drops > 0) {\n",
    ),
    seed: 2700,
  },
  core(
    "rewrite-of-the-dirty",
    "a shard is written anew without the cells that did not change",
    "checkpoint",
    'rewriteFrom === undefined ? "dirty" : "all"',
    '"dirty"',
  ),
  core(
    "generations-from-zero",
    "after a start new blocks take the names of old ones",
    "cell-blocks",
    "    this.#next[shard] = generation + 1;\n    this.#baseBytes",
    "    this.#baseBytes",
  ),
  core(
    "cells-cut-short",
    "a shard that does not fit a slice is taken for written",
    "cell-map",
    "if (visit(ref)) return slot + 1 < shard.used ? slot + 1 : -1;",
    "if (visit(ref)) return -1;",
  ),
  {
    ...core(
      "floor-after-the-purged",
      "the store lacks what was purged before it has the floor that says so",
      "checkpoint",
      "if (entries.length > 0 && !covers(this.#floorStored, state.floor)) entries.push(this.#floorEntry());",
      "",
    ),
    script: "purged-leaves-the-store-with-the-floor.txt",
  },
  core(
    "gate-from-memory",
    "a checkpoint stores the gate as memory has it, not as the log has it",
    "checkpoint",
    "gated: state.gatedInLog,",
    "gated: state.gated,",
  ),
  core(
    "ceiling-from-memory",
    "a checkpoint stores the ceiling as memory has it, not as the log has it",
    "checkpoint",
    "        ceiling: Math.max(state.clock.ceiling, state.ceilingInLog),\n",
    "        ceiling: state.clock.ceiling,\n",
  ),
  core(
    "contexts-not-stored",
    "a checkpoint does not store the origins' contexts",
    "checkpoint",
    "contexts: state.contexts.map((context) => [...context]),",
    "contexts: state.contexts.map(() => []),",
  ),
  core(
    "ceiling-not-durable",
    "a raised ceiling is not written",
    "replica",
    "    state.appendRecord(recordType.ceiling, f64(ceiling));\n    state.ceilingInLog = ceiling;\n",
    "",
  ),
  core(
    "no-ceiling",
    "a start takes the clock as it is",
    "replica",
    "    state.clock.last = stamp;\n",
    "    state.clock.last = msToStamp(options.nowMs);\n",
  ),
  core(
    "wallclock",
    "stamps follow the wall clock",
    "hybrid-clock",
    "const next = real > this.last ? real : this.last + 1;",
    "const next = real;",
  ),
  core(
    "gate-not-durable",
    "a lost disk's gate is only in memory",
    "replica",
    "      state.appendRecord(recordType.gate, Uint8Array.of(gate ? 1 : 0));\n",
    "",
  ),
  {
    name: "no-gate",
    why: "a peer with a lost or rolled-back disk takes writes at once",
    edits: [
      {
        file: replica("replica"),
        find: "const gate = options.rolledBack === true ||",
        replace: "const gate = false && options.rolledBack === true ||",
      },
      {
        file: replica("replica"),
        find: "(options.firstStart && !(options.bootstrap && empty));",
        replace: "(options.firstStart && options.elapsedMs < 0);",
      },
      // The simulator's own look at the gate would see it at once: what it leads to must be seen too.
      {
        file: "scripts/sim/peer.ts",
        find: "if (!replica.state.gated && world.params.peers > 1)",
        replace: "if (world.params.peers < 1)",
      },
    ],
  },
  core(
    "gate-opens-unsynced",
    "the gate opens before what was caught up is on disk",
    "incoming",
    "    state.gatedInLog = false;\n    state.syncWanted = true;\n",
    "    state.gatedInLog = false;\n    state.gated = false;\n    state.syncWanted = true;\n",
  ),
  shell(
    "checkpoint-unsynced",
    "cells go to the checkpoint before the ops they show are on disk",
    "    this.syncQuietly();\n    this.disk.writeNow(pending.entries);\n",
    "    this.disk.writeNow(pending.entries);\n",
  ),
  shell(
    "reply-before-append",
    "clients are answered before the log has their writes",
    "    if (ready.syncWanted) this.syncWanted = true;\n",
    "    if (ready.syncWanted) this.syncWanted = true;\n    world.acked[this.origin] = replica.state.lastSeq;\n",
  ),
  shell(
    "torn-tail-kept",
    "recovery takes a torn last record for a whole one",
    "new MemoryStorage({ segmentBytes: this.world.params.segmentBytes })",
    "new MemoryStorage({ segmentBytes: this.world.params.segmentBytes, keepsTornTail: true })",
  ),
  shell(
    "trim-ahead",
    "the log is trimmed past the checkpoint",
    "const limit = replica.trimLsn(whole || world.params.trimsAll || world.random.chance(0.3));",
    "const limit = disk.log.syncedLsn;",
  ),
  shell(
    "sync-told-early",
    "a fact is told before the sync that it speaks of",
    "    this.syncToken = this.replica.syncBegin();\n    this.syncWanted = false;\n    this.disk.syncNow();\n    this.syncedVv = this.appendedVv;\n",
    "    this.syncToken = this.replica.syncBegin();\n    this.syncWanted = false;\n",
  ),
];

// ---- cells, counters, conflicts, digest -------------------------------------------------------------------------------

const cells: readonly Mutant[] = [
  core(
    "actor-page",
    "a counter's actor is kept until the key is purged, not renewed with the base",
    "keyspace",
    "            total.onOrigin === baseOrigin &&\n            total.onSeq === baseSeq &&\n",
    "",
  ),
  {
    name: "actor-forever",
    why: "one counter actor per origin",
    edits: [
      {
        file: replica("keyspace"),
        find: "            total.onOrigin === baseOrigin &&\n            total.onSeq === baseSeq &&\n",
        replace: "",
      },
      {
        file: replica("keyspace"),
        find: "own = { origin: state.self, first: seq, seq,",
        replace: "own = { origin: state.self, first: 1, seq,",
      },
    ],
  },
  {
    name: "incr-delta",
    why: "increments replicate as steps, not as totals",
    edits: [
      {
        file: replica("keyspace"),
        find: "state.frame.incr(stamp, key, own.first, own.sum,",
        replace: "state.frame.incr(stamp, key, own.first, step,",
      },
      {
        file: replica("keyspace"),
        find: "state.frame.incr(stamp, key, first, sum, 0);",
        replace: "state.frame.incr(stamp, key, first, step, 0);",
      },
      {
        file: replica("merge"),
        find: "map.putSole(ref, origin, ops.actorFirst, ops.seq, ops.sum, false);",
        replace:
          "map.putSole(ref, origin, ops.actorFirst, ops.seq, (isNew ? 0 : map.soleSumAt(ref)) + ops.sum, false);",
      },
      {
        file: replica("merge"),
        find: "    mine.sum = ops.sum;\n",
        replace:
          '    mine.sum = typeof mine.sum === "number" && typeof ops.sum === "number" ? mine.sum + ops.sum : BigInt(mine.sum) + BigInt(ops.sum);\n',
      },
    ],
  },
  core(
    "sole-any-actor",
    "a counter of one total takes another origin's for a newer state of it",
    "cell-map",
    "this.isSole(ref) && this.#word(ref, originWord) === origin &&",
    "this.isSole(ref) &&",
  ),
  core(
    "sole-lost-base",
    "a SET over a counter of one total forgets the total",
    "cell-map",
    'typeof held === "number" ? [this.#soleTotal(ref)] : [];',
    "[];",
  ),
  core(
    "observed-list-only",
    "a SET or DEL observes only the totals it lists, not all that its context covers",
    "merge",
    "if (map.originAt(ref) === origin && map.seqAt(ref) === seq) dropCoveredTotals",
    "if (map.originAt(ref) < 0) dropCoveredTotals",
  ),
  core(
    "no-observed",
    "a SET or DEL records no observed totals",
    "keyspace",
    "if (!(held instanceof CounterCell) || held.totals.length === 0) return nothingObserved;",
    "if (!(held instanceof CounterCell) || held.totals.length >= 0) return nothingObserved;",
  ),
  core(
    "ttl-untagged",
    "increments do not inherit the expiry of their base",
    "keyspace",
    "        expiresAtMs = baseExpiry;\n",
    "",
  ),
  core(
    "first-wins",
    "of equal stamps the one that came first wins",
    "cell-map",
    "if (origin !== owner) return this.#origins.id(origin) > this.#origins.id(owner);",
    "if (origin !== owner) return false;",
  ),
  core(
    "order-by-number",
    "equal stamps are decided by local origin numbers",
    "cell-map",
    "return this.#origins.id(origin) > this.#origins.id(owner);",
    "return origin > owner;",
  ),
  core(
    "no-conflicts",
    "what a concurrent write displaced is not kept",
    "merge",
    '  state.count("conflicts");\n',
    '  if (key !== undefined) return;\n  state.count("conflicts");\n',
  ),
  {
    ...core(
      "conflicts-at-end-only",
      "the journal reaches the disk after the cells that need it",
      "checkpoint",
      "if (entries.length > 0) this.#addConflicts(entries);",
      "",
    ),
    seed: 2400,
  },
  core(
    "conflict-with-future",
    "while the log is replayed, newer cells of the checkpoint pass for concurrent writes",
    "merge",
    " && baseSeq <= at(state.vv, baseOrigin);",
    ";",
  ),
  core(
    "conflict-by-stamp",
    "every write that loses by its stamp is taken for a conflict",
    "merge",
    "): boolean => baseOrigin !== origin && baseSeq > at(context, baseOrigin)",
    "): boolean => baseOrigin !== origin",
  ),
  core(
    "digest-keeps-deleted",
    "the digest is not changed by a delete",
    "cell-map",
    "      this.digest.subtract(bucket, words[word + hash1Word] as number, words[word + hash2Word] as number);\n      this.liveCount--;\n      flags &= ~liveFlag;\n",
    "      if (shard.held(slot) !== null) this.digest.subtract(bucket, words[word + hash1Word] as number, words[word + hash2Word] as number);\n      this.liveCount--;\n      flags &= ~liveFlag;\n",
  ),
  core(
    "digest-without-expiry",
    "the digest leaves the horizon out: expired cells stay in it until they are written again",
    "cell-map",
    "      const wasDirty = (shard.flags(ref >>> shardBits) & dirtyFlag) !== 0;\n      this.refresh(ref);\n",
    "      const wasDirty = true;\n",
  ),
];

export const mutants: readonly Mutant[] = [...delivery, ...purging, ...transfers, ...disk, ...cells];
