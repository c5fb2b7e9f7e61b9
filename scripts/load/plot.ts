/**
 * Small plots as SVG text. Colours, fonts and line widths are the page's (CSS classes), so that one drawing does for light
 * and dark. Pure: numbers in, text out.
 */

export interface Scale {
  /** 0 at the lower end, 1 at the upper; outside for what is outside. */
  readonly at: (value: number) => number;
  readonly ticks: readonly { readonly value: number; readonly text: string }[];
}

export interface Series {
  /** CSS class. */
  readonly name: string;
  readonly label: string;
  readonly kind: "line" | "area" | "dashes";
  /** NaN in y: nothing was measured, the line is broken there. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Band {
  readonly from: number;
  readonly to: number;
  readonly label: string;
}

export interface Plot {
  readonly title: string;
  readonly x: Scale;
  readonly y: Scale;
  readonly xLabel: string;
  readonly series: readonly Series[];
  readonly bands: readonly Band[];
}

const width = 960;
const height = 260;
const margin = { left: 64, right: 30, top: 30, bottom: 40 };
const plotWidth = width - margin.left - margin.right;
const plotHeight = height - margin.top - margin.bottom;

/** Round numbers: 1, 2 or 5 times a power of ten. About `wanted` of them, from 0 to the first at or above `max`. */
export const linearScale = (max: number, wanted: number, text: (value: number) => string): Scale => {
  const step = roundStep(Math.max(max, 1e-9) / wanted);
  const count = Math.max(1, Math.ceil(max / step - 1e-9));
  const top = count * step;
  return {
    at: (value) => value / top,
    ticks: Array.from({ length: count + 1 }, (_, i) => ({ value: i * step, text: text(i * step) })),
  };
};

/** Ends exactly at `max`: for time, where there is nothing behind it. */
export const timeScale = (max: number, text: (value: number) => string): Scale => {
  const step = roundStep(max / 8);
  const count = Math.floor(max / step + 1e-9);
  return {
    at: (value) => value / max,
    ticks: Array.from({ length: count + 1 }, (_, i) => ({ value: i * step, text: text(i * step) })),
  };
};

/** Whole decades around the values. */
export const logScale = (min: number, max: number, text: (value: number) => string): Scale => {
  const low = Math.floor(Math.log10(min) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(max) - 1e-9));
  return {
    at: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low),
    ticks: Array.from({ length: high - low + 1 }, (_, i) => ({
      value: 10 ** (low + i),
      text: text(10 ** (low + i)),
    })),
  };
};

/** 0, 90, 99, 99.9, ... per cent at even distances; up to `nines` of them. */
export const ninesScale = (nines: number): Scale => ({
  at: (percent) => Math.min(nines, -Math.log10(Math.max(1e-12, 1 - percent / 100))) / nines,
  ticks: Array.from({ length: nines + 1 }, (_, i) => ({
    value: 100 * (1 - 10 ** -i),
    text: `${i === 0 ? "0" : i === 1 ? "90" : i === 2 ? "99" : `99.${"9".repeat(i - 2)}`} %`,
  })),
});

const roundStep = (rough: number): number => {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough - power * 1e-9) ?? 10 * power;
};

export const escaped = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

export const plotToSvg = ({ title, x, y, xLabel, series, bands }: Plot): string => {
  const atX = (value: number): string => (margin.left + x.at(value) * plotWidth).toFixed(1);
  const atY = (value: number): string => (margin.top + (1 - clamped(y.at(value))) * plotHeight).toFixed(1);
  const bottom = margin.top + plotHeight;
  const parts = [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">`,
    ...bands.flatMap(({ from, to, label }) => [
      `<rect class="band" x="${atX(from)}" y="${margin.top}" width="${Math.max(1, Number(atX(to)) - Number(atX(from))).toFixed(1)}" height="${plotHeight}"/>`,
      `<text class="band-label" x="${(Number(atX(from)) + 3).toFixed(1)}" y="${margin.top + 11}">${escaped(label)}</text>`,
    ]),
    ...y.ticks.flatMap(({ value, text }) => [
      `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${atY(value)}" y2="${atY(value)}"/>`,
      `<text class="tick" text-anchor="end" x="${margin.left - 8}" y="${(Number(atY(value)) + 4).toFixed(1)}">${escaped(text)}</text>`,
    ]),
    ...x.ticks.map(
      ({ value, text }) =>
        `<text class="tick" text-anchor="middle" x="${atX(value)}" y="${bottom + 17}">${escaped(text)}</text>`,
    ),
    `<text class="tick" text-anchor="middle" x="${margin.left + plotWidth / 2}" y="${height - 6}">${escaped(xLabel)}</text>`,
    ...series.map((one) => seriesToPath(one, atX, atY, bottom)),
    ...legend(series),
    "</svg>",
  ];
  return parts.join("\n");
};

const clamped = (share: number): number => Math.min(1, Math.max(0, share));

const seriesToPath = (
  { name, kind, points }: Series,
  atX: (x: number) => string,
  atY: (y: number) => string,
  bottom: number,
): string => {
  let path = "";
  for (const run of unbroken(points)) {
    const line = run.map(([x, y]) => `${atX(x)},${atY(y)}`).join("L");
    const [first, last] = [run[0], run.at(-1)];
    if (first === undefined || last === undefined) continue;
    path += kind === "area" ? `M${atX(first[0])},${bottom}L${line}L${atX(last[0])},${bottom}Z` : `M${line}`;
    // A single point has no length: a dot by its round ends.
    if (run.length === 1 && kind !== "area") path += "h0.1";
  }
  return `<path class="${kind} ${name}" d="${path}"/>`;
};

const unbroken = (points: Series["points"]): (readonly [number, number])[][] => {
  const runs: (readonly [number, number])[][] = [];
  let run: (readonly [number, number])[] = [];
  for (const point of points) {
    if (Number.isFinite(point[1])) run.push(point);
    else if (run.length > 0) {
      runs.push(run);
      run = [];
    }
  }
  if (run.length > 0) runs.push(run);
  return runs;
};

/** Above the plot, left to right. */
const legend = (series: readonly Series[]): string[] => {
  let at = margin.left;
  return series.flatMap(({ name, kind, label }) => {
    const from = at;
    at += 30 + label.length * 7.2;
    const mark =
      kind === "area"
        ? `<rect class="area ${name}" x="${from}" y="8" width="16" height="10"/>`
        : `<line class="${kind} ${name}" x1="${from}" x2="${from + 16}" y1="13" y2="13"/>`;
    return [mark, `<text class="legend" x="${from + 21}" y="17">${escaped(label)}</text>`];
  });
};
