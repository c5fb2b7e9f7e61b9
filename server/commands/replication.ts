/** WAIT and our own commands about the other peers: PEERS, CONFLICTS, TRACE, DIGEST, DIFF. */
import { replyBytesMax } from "../../protocol/limits.ts";
import type { ReplyWriter } from "../../protocol/reply.ts";
import type { Handler, Handlers } from "./context.ts";
import { notAnInteger, syntaxError } from "./errors.ts";
import { parseInteger } from "./numbers.ts";
import { replyRejection } from "./rejection.ts";
import type { ConflictReport } from "./session.ts";

// ---- Fields -----------------------------------------------------------------------------------------------------------

/** A field of a map; a Date stands for a time, undefined for what is not known. */
type Field = readonly [name: string, value: string | number | boolean | Date | undefined];

const dateMsMax = 8.64e15;

/** Unix milliseconds for people. */
const time = (unixMs: number): Date | number => (Math.abs(unixMs) <= dateMsMax ? new Date(unixMs) : unixMs);

const writeValue = (reply: ReplyWriter, value: Field[1]): void => {
  if (value === undefined) reply.nil();
  else if (typeof value === "boolean") reply.boolean(value);
  else if (value instanceof Date) reply.bulk(value.toISOString());
  else if (typeof value === "string") reply.bulk(value);
  else if (Number.isSafeInteger(value)) reply.integer(value);
  else reply.double(value);
};

/** Writes the fields of a map that was announced. */
const writeFields = (reply: ReplyWriter, fields: readonly Field[]): void => {
  for (const [name, value] of fields) {
    reply.bulk(name);
    writeValue(reply, value);
  }
};

const writeMap = (reply: ReplyWriter, fields: readonly Field[]): void => {
  reply.map(fields.length);
  writeFields(reply, fields);
};

// ---- WAIT -------------------------------------------------------------------------------------------------------------

const wait: Handler = (session, words, context) => {
  const count = parseInteger(words[1]);
  if (count === undefined) {
    session.reply.error(notAnInteger);
    return undefined;
  }
  const timeoutMs = parseInteger(words[2]);
  if (timeoutMs === undefined) {
    session.reply.error("ERR timeout is not an integer or out of range");
    return undefined;
  }
  if (timeoutMs < 0) {
    session.reply.error("ERR timeout is negative");
    return undefined;
  }
  const { host, stats } = context;
  if (context.inExec) {
    // What this EXEC wrote has not left this peer, so then nobody holds it; what was written before may be held.
    session.reply.integer(host.heldByPeers(session.lastWriteSeq));
    return undefined;
  }
  stats.blocked += 1;
  const isGone = (): boolean => host.session(session.id) === undefined;
  return host.waitForPeers(session.lastWriteSeq, Math.max(0, Number(count)), Number(timeoutMs), isGone).then(
    (held) => {
      stats.blocked -= 1;
      session.reply.integer(held);
    },
    (failure: unknown) => {
      stats.blocked -= 1;
      replyRejection(session, failure);
    },
  );
};

// ---- PEERS ------------------------------------------------------------------------------------------------------------

const peers: Handler = (session, _words, { host }) => {
  const reports = host.peers();
  session.reply.array(reports.length);
  for (const peer of reports) {
    writeMap(session.reply, [
      ["name", peer.name],
      ["self", peer.self],
      ["incarnation", peer.incarnation],
      ["state", peer.state],
      ["address", peer.address],
      ["rtt-ms", peer.rttMs],
      ["clock-offset-ms", peer.clockOffsetMs],
      ["lag-ops", peer.lagOps],
      ["lag-ms", peer.lagMs],
      ["queued-bytes", peer.queuedBytes],
      ["fact-counts", peer.factCounts],
      ["tombstones-held", peer.tombstonesHeld],
      ["tombstone-bytes-held", peer.tombstoneBytesHeld],
      ["digest", peer.digest],
      ["gated", peer.gated],
      ["note", peer.note],
    ]);
  }
};

// ---- CONFLICTS --------------------------------------------------------------------------------------------------------

/** `winner` and `loser` are nil where the write was a delete. */
const conflictFields = (conflict: ConflictReport): readonly Field[] => [
  ["id", conflict.id],
  ["key", conflict.key],
  ["at", time(conflict.atMs)],
  ["why", conflict.why],
  ["winner", conflict.winner.value],
  ["winner-dot", conflict.winner.dot],
  ["winner-origin", conflict.winner.origin],
  ["winner-at", time(conflict.winner.stampMs)],
  ["loser", conflict.loser.value],
  ["loser-dot", conflict.loser.dot],
  ["loser-origin", conflict.loser.origin],
  ["loser-at", time(conflict.loser.stampMs)],
  ["restored", conflict.restored],
];

/**
 * `CONFLICTS`, `CONFLICTS key`, both also with `COUNT n` behind, and `CONFLICTS RESTORE id`. The number of words tells
 * them apart, so any key can be asked for. Undefined: none of these.
 */
type ConflictsRequest =
  | { readonly kind: "list"; readonly key: string | undefined; readonly countText: string | undefined }
  | { readonly kind: "restore"; readonly id: string };

const parseConflicts = (words: readonly string[]): ConflictsRequest | undefined => {
  const [, first, second, third] = words;
  if (words.length <= 2) return { kind: "list", key: first, countText: undefined };
  if (words.length === 3 && first?.toUpperCase() === "RESTORE") return { kind: "restore", id: second ?? "" };
  if (words.length === 3 && first?.toUpperCase() === "COUNT")
    return { kind: "list", key: undefined, countText: second };
  if (words.length === 4 && second?.toUpperCase() === "COUNT") return { kind: "list", key: first, countText: third };
  return undefined;
};

const conflicts: Handler = (session, words, { host, inExec }) => {
  const { reply } = session;
  const request = parseConflicts(words);
  if (request === undefined) {
    reply.error(syntaxError);
    return;
  }
  if (request.kind === "restore") {
    const refusal = host.writeRefusal(true);
    // The bound on what an EXEC writes is judged from its words, and an id does not tell how long the value is.
    if (inExec) reply.error("ERR CONFLICTS RESTORE is not allowed inside a transaction");
    else if (refusal !== undefined) reply.error(refusal);
    else if (host.restoreConflict(request.id)) {
      session.lastWriteSeq = host.lastSeq;
      reply.simple("OK");
    } else reply.error("ERR no such conflict in this peer's journal");
    return;
  }
  const count = request.countText === undefined ? Number.POSITIVE_INFINITY : parseInteger(request.countText);
  if (count === undefined || count < 0) {
    reply.error(notAnInteger);
    return;
  }
  const reports = host.conflicts(request.key).slice(0, Number(count));
  let bytes = 0;
  for (const { key, winner, loser } of reports) {
    bytes += key.length + (winner.value?.length ?? 0) + (loser.value?.length ?? 0);
  }
  if (bytes > replyBytesMax) {
    reply.error(`ERR the conflicts have ${bytes} bytes, a reply at most ${replyBytesMax}: add COUNT n`);
    return;
  }
  reply.array(reports.length);
  for (const report of reports) writeMap(reply, conflictFields(report));
};

// ---- TRACE, DIGEST, DIFF ----------------------------------------------------------------------------------------------

const trace: Handler = (session, words, { host }) => {
  const { reply } = session;
  const report = host.trace(words[1]);
  if (report === undefined) {
    reply.nil();
    return;
  }
  const fields: readonly Field[] = [
    ["key", report.key],
    ["state", report.state],
    ["origin", report.origin],
    ["dot", report.dot],
    ["written-at", time(report.stampMs)],
    ["age-ms", report.ageMs],
    ["expires-at", report.expiresAtMs === 0 ? undefined : time(report.expiresAtMs)],
  ];
  reply.map(fields.length + 1);
  writeFields(reply, fields);
  reply.bulk("holders");
  reply.map(report.holders.length);
  writeFields(
    reply,
    report.holders.map((holder) => [holder.peer, holder.holds]),
  );
};

const digest: Handler = (session, _words, { host }) => {
  const { reply } = session;
  const report = host.digest();
  reply.map(4);
  writeFields(reply, [
    ["digest", report.digest],
    ["keys", report.keys],
  ]);
  reply.bulk("version-vector");
  reply.map(report.versionVector.size);
  writeFields(reply, [...report.versionVector]);
  reply.bulk("peers");
  reply.map(report.peers.length);
  writeFields(
    reply,
    report.peers.map((peer) => [peer.peer, peer.verdict]),
  );
};

const diff: Handler = (session, words, { host }) =>
  host.diff(words[1]).then(
    (report) => {
      const { reply } = session;
      reply.map(3);
      writeFields(reply, [
        ["identical", report.identical],
        ["truncated", report.truncated],
      ]);
      reply.bulk("keys");
      reply.array(report.keys.length);
      for (const { key, here, there } of report.keys) {
        writeMap(reply, [
          ["key", key],
          ["here", here],
          ["there", there],
        ]);
      }
    },
    (failure: unknown) => replyRejection(session, failure),
  );

export const replicationHandlers: Handlers = { wait, peers, conflicts, trace, digest, diff };
