/** Numbers, sizes and times as short text, for columns. */

/** `950`, `12.3k`, `1.2M`: at most five characters below a billion. */
export const shortCount = (count: number): string => {
  if (!Number.isFinite(count)) return "-";
  const units = ["", "k", "M", "G", "T"];
  let value = count;
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  if (unit === 0) return String(Math.round(value));
  return `${Math.abs(value) >= 99.95 ? Math.round(value) : value.toFixed(1)}${units[unit]}`;
};

/** `1,234,567`. */
export const fullCount = (count: number): string => count.toLocaleString("en-US");

export const plural = (count: number, noun: string): string => `${fullCount(count)} ${noun}${count === 1 ? "" : "s"}`;

/** `0 B`, `1.4 KiB`. */
export const bytesText = (bytes: number): string => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
};

/** `0.4 ms`, `12 ms`, `3.2 s`, `5 min`, `4.1 h`, `2.0 d`. */
export const durationText = (ms: number): string => {
  if (ms < 0) return `-${durationText(-ms)}`;
  if (ms < 9.95 && !Number.isInteger(ms)) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_570_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 86_220_000) return `${(ms / 3_600_000).toFixed(1)} h`;
  return `${(ms / 86_400_000).toFixed(1)} d`;
};

/** A time to live, counting down: `59 s`, `4:59`, `3:04:59`, `12 d 03:04`. */
export const ttlText = (ms: number): string => {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (seconds < 60) return `${seconds} s`;
  if (hours === 0) return `${minutes}:${two(seconds % 60)}`;
  if (hours < 24) return `${hours}:${two(minutes % 60)}:${two(seconds % 60)}`;
  return `${Math.floor(hours / 24)} d ${two(hours % 24)}:${two(minutes % 60)}`;
};

/** `90`, `90s`, `10m`, `2h`, `7d`, `500ms` to milliseconds; `none` to 0; undefined for anything else. */
export const parseTtl = (text: string): number | undefined => {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === "none" || trimmed === "") return 0;
  const match = /^(\d{1,12})(ms|s|m|min|h|d)?$/.exec(trimmed);
  const units: Readonly<Record<string, number>> = {
    ms: 1,
    s: 1000,
    m: 60_000,
    min: 60_000,
    h: 3_600_000,
    d: 86_400_000,
  };
  const ms = Number(match?.[1]) * (units[match?.[2] ?? "s"] ?? Number.NaN);
  return Number.isSafeInteger(ms) && ms > 0 ? ms : undefined;
};

/** `14:03:27.120` of this machine's day. */
export const clockText = (unixMs: number, withMs = false): string => {
  const date = new Date(unixMs);
  if (Number.isNaN(date.getTime())) return "?";
  const pad = (value: number, digits: number): string => String(value).padStart(digits, "0");
  const clock = `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}`;
  return withMs ? `${clock}.${pad(date.getMilliseconds(), 3)}` : clock;
};

const bars = "▁▂▃▄▅▆▇█";

/** The last `width` values as bars of one row, the newest at the right; the highest is full. */
export const sparkline = (values: readonly number[], width: number): string => {
  const shown = values.slice(-width);
  const highest = Math.max(1, ...shown);
  const line = shown
    .map((value) => bars[Math.min(bars.length - 1, Math.max(0, Math.round((value / highest) * (bars.length - 1))))])
    .join("");
  return line.padStart(width, " ");
};
