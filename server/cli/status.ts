/**
 * `chorus status`: asks every peer for its `/status`, prints them side by side, and says whether they are identical.
 */
import { setTimeout as delay } from "node:timers/promises";
import { statusMsMax } from "../../protocol/limits.ts";
import { parseStatus, type StatusLink, type StatusReport } from "../../protocol/status.ts";
import { type HostPort, hostPortToText } from "../settings.ts";
import { failureText } from "./failure.ts";
import { httpGet } from "./http-get.ts";
import { bytesToText, countToText, durationToText } from "./sizes.ts";
import { type Cell, tableToText, visible } from "./table.ts";
import { type Probe, type Verdict, verdictExitCode, verdictOf } from "./verdict.ts";

const watchIntervalMs = 1000;

export interface StatusOptions {
  readonly peers: readonly HostPort[];
  readonly json: boolean;
  readonly watch: boolean;
}

/** Resolves with the exit code; with `watch`, never. */
export const runStatus = async ({ peers, json, watch }: StatusOptions): Promise<number> => {
  for (;;) {
    const probes = await Promise.all(peers.map(probe));
    const verdict = verdictOf(probes);
    const text = json ? JSON.stringify({ verdict, peers: probes }) : statusToText(probes, verdict);
    // Home and clear to the end: less flicker than clearing first, and no scrollback is lost.
    const repaint = watch && !json && process.stdout.isTTY;
    process.stdout.write(repaint ? `\u001b[H${text.replaceAll("\n", "\u001b[K\n")}\u001b[K\n\u001b[J` : `${text}\n`);
    if (!watch) return verdictExitCode[verdict.kind];
    await delay(watchIntervalMs);
  }
};

const probe = async (peer: HostPort): Promise<Probe> => {
  const address = hostPortToText(peer);
  try {
    const { statusCode, body } = await httpGet(peer, "/status", statusMsMax);
    if (statusCode !== 200) return { address, why: `answered ${statusCode} to /status` };
    const parsed = parseStatus(JSON.parse(body));
    return parsed.ok
      ? { address, status: parsed.status }
      : { address, why: `is no peer of this version: ${parsed.why}` };
  } catch (error) {
    return { address, why: error instanceof SyntaxError ? "answered something that is not JSON" : failureText(error) };
  }
};

export const statusToText = (probes: readonly Probe[], verdict: Verdict): string => {
  const parts = [tableToText(peerHeading, probes.map(peerRow))];
  const links = probes.flatMap((entry) =>
    "status" in entry ? entry.status.links.map((link) => linkRow(entry.status, link)) : [],
  );
  if (links.length > 0) parts.push(tableToText(linkHeading, links));
  const strong = probes.flatMap((entry) => ("status" in entry ? [strongRow(entry.status)] : []));
  if (strong.length > 0) parts.push(tableToText(strongHeading, strong));
  const notes = probes.flatMap((entry) => ("status" in entry ? notesOf(entry.status) : []));
  if (notes.length > 0) parts.push(notes.map(visible).join("\n"));
  parts.push(visible(verdict.text));
  return parts.join("\n\n");
};

const peerHeading = ["peer", "http", "state", "up", "keys", "digest", "tombstones", "conflicts", "memory", "ops/s"];

const peerRow = (entry: Probe): Cell[] => {
  if (!("status" in entry)) return ["?", entry.address, `unreachable: ${entry.why}`];
  const { status } = entry;
  return [
    status.peer.name,
    entry.address,
    stateOf(status),
    { right: durationToText(status.peer.uptimeSeconds * 1000) },
    { right: countToText(status.keys) },
    status.digest.value,
    { right: countToText(status.tombstones.count) },
    { right: countToText(status.conflicts.kept + status.conflicts.dropped) },
    { right: bytesToText(status.memory.usedBytes) },
    { right: countToText(Math.round(status.opsPerSecond)) },
  ];
};

const stateOf = (status: StatusReport): string => {
  if (status.loading) return "loading";
  if (status.gated) return "gated";
  return status.ready ? "ready" : "not ready";
};

const linkHeading = ["link", "state", "lag", "rtt", "clock", "queued", "why"];

const linkRow = ({ peer }: StatusReport, link: StatusLink): Cell[] => {
  const lagTime =
    link.lagMs === null || link.lagMs === undefined || link.lagOps === 0 ? "" : `, ${durationToText(link.lagMs)}`;
  const measured = (ms: number | null | undefined): string => (typeof ms === "number" ? durationToText(ms) : "-");
  return [
    `${peer.name} -> ${link.peer}`,
    link.state,
    { right: `${countToText(link.lagOps)} ops${lagTime}` },
    { right: measured(link.rttMs) },
    {
      right:
        typeof link.clockOffsetMs === "number"
          ? `${link.clockOffsetMs >= 0 ? "+" : ""}${Math.round(link.clockOffsetMs)} ms`
          : "-",
    },
    { right: bytesToText(link.queuedBytes) },
    link.why ?? "",
  ];
};

const strongHeading = ["strong keys", "standing", "keys", "answering", "waiting", "rounds", "prefixes"];

const strongRow = ({ peer, strong }: StatusReport): Cell[] => [
  peer.name,
  strong.standing,
  { right: countToText(strong.keys) },
  `${strong.answering}, ${strong.answering < strong.quorum ? "no majority" : `${strong.quorum} needed`}`,
  { right: countToText(strong.waiting) },
  { right: countToText(strong.pendingRounds) },
  strong.prefixes.join(" "),
];

/** What needs a sentence rather than a column. */
const notesOf = (status: StatusReport): string[] => {
  const { name } = status.peer;
  const notes = [...status.reasons, ...status.alarms].map((reason) => `${name}: ${reason}`);
  if (status.clock.skewState !== "ok") notes.push(`${name}: clock skew, ${status.clock.skewState}`);
  const { readmission } = status.strong;
  if (readmission !== null && readmission !== undefined)
    notes.push(
      `${name}: strong keys are readmitted: ${readmission.raised} peers have begun the new epoch, ${readmission.listed} listed their keys, ${countToText(readmission.unread)} keys are to be copied`,
    );
  const { count, bytes, heldBy } = status.tombstones;
  if (count > 0 && heldBy.length > 0)
    notes.push(
      `${name}: ${countToText(count)} tombstones (${bytesToText(bytes)}) are held back by ${heldBy.join(", ")}`,
    );
  if (status.conflicts.dropped > 0)
    notes.push(
      `${name}: the journal let ${countToText(status.conflicts.dropped)} conflicts go, ${countToText(status.conflicts.kept)} are kept`,
    );
  return notes;
};
