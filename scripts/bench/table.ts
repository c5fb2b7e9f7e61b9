/** The result, for people and for programs. Pure. */
import { tableToText } from "../../server/cli/table.ts";
import type { Figure, Row } from "./figures.ts";
import { type Machine, noiseWarning } from "./machine.ts";
import type { Options } from "./options.ts";

export interface Report {
  readonly startedAt: string;
  readonly tookSeconds: number;
  readonly machine: Machine;
  readonly options: Options;
  readonly rows: readonly Row[];
  /** What was left out, and why. */
  readonly remarks: readonly string[];
}

export const reportToText = (report: Report): string => {
  const { machine, options, rows } = report;
  const right = (text: string) => ({ right: text });
  // Where rows have different things beside them each says its own.
  const systems = new Set(rows.map(({ figure }) => figure.beside));
  const beside = systems.size === 1 ? rows[0]?.figure.beside : undefined;
  const table = tableToText(
    [
      "figure",
      "name",
      "chorus",
      beside ?? "beside",
      "",
      `chorus/${beside ?? "beside"}`,
      "of rounds",
      "must",
      "aim",
      "verdict",
    ],
    rows.map((row) => [
      row.figure.title,
      row.figure.name,
      right(numberText(row.figure, row.chorusMedian)),
      right(`${beside === undefined ? `${row.figure.beside} ` : ""}${numberText(row.figure, row.besideMedian)}`),
      row.figure.unit,
      right(row.ratio === undefined ? "-" : row.ratio.toFixed(2)),
      right(row.ratioRange === undefined ? "-" : row.ratioRange.map((ratio) => ratio.toFixed(2)).join(" to ")),
      right(boundText(row.figure, "must")),
      right(boundText(row.figure, "aim")),
      row.verdict,
    ]),
  );
  const notes = rows.flatMap(({ measurement: { name, notes, failure } }) =>
    [...(failure === undefined ? [] : [`could not be measured: ${failure}`]), ...notes].map(
      (note) => `${name}: ${note}`,
    ),
  );
  const warning = noiseWarning(machine);
  const remarks = [
    ...(options.quick ? ["--quick: this shows that the bench works; its figures mean nothing"] : []),
    ...(warning === undefined ? [] : [warning]),
    ...report.remarks,
  ];
  return [
    `${machine.cores} cores of ${machine.cpu}, ${(machine.memoryBytes / 1024 ** 3).toFixed(0)} GiB, ${machine.system}; node ${machine.node}, Chorus ${machine.chorus}, Redis ${machine.redis ?? "not installed"}, etcd ${machine.etcd ?? "not installed"}`,
    `medians of ${options.rounds} rounds (${options.heavyRounds} from memory on), ${Math.round(report.tookSeconds)} s in all, ${report.startedAt}`,
    "",
    table,
    ...(notes.length === 0 ? [] : ["", ...notes]),
    ...(remarks.length === 0 ? [] : ["", ...remarks]),
  ].join("\n");
};

const numberText = ({ unit }: Figure, number: number | undefined): string => {
  if (number === undefined || Number.isNaN(number)) return "-";
  return unit === "ops/s" ? Math.round(number).toLocaleString("en") : number.toFixed(unit === "B/key" ? 1 : 2);
};

/** Bounds of ratios are plain numbers; bounds of values carry their unit. */
const boundText = ({ bounds, better, judgedBy, unit }: Figure, which: "must" | "aim"): string => {
  if (bounds === undefined) return "-";
  return `${better === "higher" ? ">=" : "<="} ${bounds[which]}${judgedBy === "value" ? ` ${unit}` : ""}`;
};

export const reportFormat = 2;

export const reportToJson = ({ rows, options, ...rest }: Report): string =>
  JSON.stringify(
    {
      format: reportFormat,
      ...rest,
      options: { ...options, only: [...options.only] },
      figures: rows.map(({ figure, measurement, ...row }) => ({
        ...figure,
        chorus: { median: row.chorusMedian ?? null, samples: measurement.chorus },
        beside: { system: figure.beside, median: row.besideMedian ?? null, samples: measurement.beside },
        ratio: row.ratio ?? null,
        ratioRange: row.ratioRange ?? null,
        verdict: row.verdict,
        notes: measurement.notes,
        failure: measurement.failure ?? null,
      })),
    },
    undefined,
    2,
  );
