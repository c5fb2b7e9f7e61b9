/** Prints an InspectReport: the facts first, then the cells as a table. */
import { type InspectCell, type InspectReport, type InspectStrongKey, loadInspectReport } from "./inspect.ts";
import { bytesToText, countToText } from "./sizes.ts";
import { type Cell, tableToText, visible } from "./table.ts";

export interface InspectOptions {
  readonly json: boolean;
  readonly prefix: string;
  readonly cellsMax: number;
}

/** Resolves with the exit code: 0 whole, 1 damaged. */
export const runInspect = async (directory: string, { json, prefix, cellsMax }: InspectOptions): Promise<number> => {
  // The command line gives UTF-8; keys are bytes.
  const report = await loadInspectReport(directory, { prefix: Buffer.from(prefix).toString("latin1"), cellsMax });
  process.stdout.write(`${json ? JSON.stringify(report) : inspectToText(report)}\n`);
  return report.log.damage.length === 0 ? 0 : 1;
};

export const inspectToText = (report: InspectReport): string => {
  const { peer, log, checkpoint, keys } = report;
  const facts: [string, string][] = [
    ["directory", report.directory],
    [
      "peer",
      peer.incarnation === "" ? `${peer.name}, never started` : `${peer.name}, last incarnation ${peer.incarnation}`,
    ],
    [
      "keys",
      `${countToText(keys.live)} live, ${countToText(keys.tombstones)} tombstones, ${countToText(keys.expired)} expired`,
    ],
    ["strong keys", strongToText(report.strong)],
    ["conflicts", countToText(report.conflicts)],
    [
      "checkpoint",
      `${countToText(checkpoint.cells)} cells, ${bytesToText(checkpoint.bytes)}, log from ${checkpoint.lsn} on is replayed`,
    ],
    [
      "log",
      `records ${log.firstLsn} to ${log.nextLsn - 1}, ${bytesToText(log.bytes)} in ${log.segments.length} segments`,
    ],
    ["writes", vectorToText(report.versionVector)],
    ["state", report.gated ? "gated: takes no writes until it has caught up" : "open"],
    ["damage", log.damage.length === 0 ? "none" : log.damage.join("; ")],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const parts = [facts.map(([name, text]) => `${name.padEnd(width)}  ${visible(text)}`).join("\n")];
  if (log.segments.length > 0)
    parts.push(
      tableToText(
        ["segment", "first", "records", "size"],
        log.segments.map((segment) => [
          segment.file,
          { right: String(segment.firstLsn) },
          { right: countToText(segment.records) },
          { right: bytesToText(segment.bytes) },
        ]),
      ),
    );
  if (report.cells.length > 0)
    parts.push(tableToText(["key", "state", "value", "written", "by", "expires"], report.cells.map(cellRow)));
  const { strong } = report;
  if (strong.keys.length > 0)
    parts.push(tableToText(["strong key", "state", "value", "version", "ballot", "ttl"], strong.keys.map(strongRow)));
  if (report.truncated || strong.truncated) parts.push("more cells are there; --count N shows more, --prefix P fewer");
  return parts.join("\n\n");
};

const strongToText = ({ prefixes, admitted, live, deleted }: InspectReport["strong"]): string => {
  if (prefixes.length === 0) return "none yet";
  const standing = admitted ? "this disk answers for them" : "this disk does not answer for them";
  return `${countToText(live)} live, ${countToText(deleted)} deleted, under ${prefixes.join(" ")}; ${standing}`;
};

const strongRow = (row: InspectStrongKey): Cell[] => [
  bytesAsText(row.key),
  row.state,
  row.value === undefined ? "-" : bytesAsText(row.value),
  { right: String(row.version) },
  row.ballot,
  row.ttlMs === 0 ? "-" : `${countToText(row.ttlMs)} ms`,
];

const vectorToText = (vector: Readonly<Record<string, number>>): string =>
  Object.entries(vector)
    .map(([origin, seq]) => `${origin} 1-${seq}`)
    .join(", ") || "none";

const valueCharactersMax = 60;

const cellRow = (cell: InspectCell): Cell[] => [
  bytesAsText(cell.key),
  cell.state,
  cell.value === undefined ? "-" : bytesAsText(cell.value),
  cell.stampMs === 0 ? "-" : new Date(cell.stampMs).toISOString(),
  cell.dot,
  cell.expiresAtMs === 0 ? "-" : new Date(cell.expiresAtMs).toISOString(),
];

/** UTF-8 where the bytes are that, else as they are; cut, with the whole length, where it is long. */
const bytesAsText = (latin1: string): string => {
  const bytes = Buffer.from(latin1, "latin1");
  const utf8 = bytes.toString("utf8");
  const text = Buffer.from(utf8).equals(bytes) ? utf8 : latin1;
  return text.length <= valueCharactersMax
    ? text
    : `${text.slice(0, valueCharactersMax)}... (${bytesToText(bytes.length)})`;
};
