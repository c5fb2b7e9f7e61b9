/** Sizes, durations and counts as people write and read them. */

// Redis's own units, so that a value copied from redis.conf means the same: 1k is 1000 bytes, 1kb is 1024.
const unitBytes = new Map<string, number>([
  ["", 1],
  ["b", 1],
  ["k", 1e3],
  ["kb", 1024],
  ["m", 1e6],
  ["mb", 1024 ** 2],
  ["g", 1e9],
  ["gb", 1024 ** 3],
  ["t", 1e12],
  ["tb", 1024 ** 4],
]);

/** `512mb`, `1.5gb`, `1000`: bytes; undefined for anything else. */
export const parseSize = (text: string): number | undefined => {
  const match = /^(\d+(?:\.\d+)?) ?([kmgt]?b?)$/i.exec(text.trim());
  const unit = unitBytes.get((match?.[2] ?? "?").toLowerCase());
  if (match?.[1] === undefined || unit === undefined) return undefined;
  const bytes = Math.round(Number(match[1]) * unit);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
};

/** The shortest exact form: `1gb`, `1536kb`, `1000`. `parseSize` of it gives the same number. */
export const sizeToText = (bytes: number): string => {
  for (const unit of ["tb", "gb", "mb", "kb"]) {
    const size = unitBytes.get(unit) ?? 1;
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
};

/** Rounded, for tables: `0 B`, `1.4 MiB`. */
export const bytesToText = (bytes: number): string => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let index = 0;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index++;
  }
  return `${index === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[index]}`;
};

/** `3 ms`, `4.2 s`, `12 min`, `3.1 h`, `2.0 d`. */
export const durationToText = (ms: number): string => {
  if (ms < 1000) return `${ms < 10 && !Number.isInteger(ms) ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 86_400_000) return `${(ms / 3_600_000).toFixed(1)} h`;
  return `${(ms / 86_400_000).toFixed(1)} d`;
};

export const countToText = (count: number): string => count.toLocaleString("en-US");
