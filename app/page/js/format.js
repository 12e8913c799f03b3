// Numbers and times as people read them.

/** Up to four significant digits, with thousands set apart. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e9) return value.toExponential(2);
  if (size >= 1000 || Number.isInteger(value)) return Math.round(value).toLocaleString("en-GB");
  if (size >= 100) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  return size < 0.0005 ? value.toExponential(1) : value.toFixed(4);
}

/** A number at an axis: as few digits as it has. */
export function tick(value) {
  const size = Math.abs(value);
  if (size >= 1e7 || (size > 0 && size < 1e-4)) return value.toExponential(1);
  return Number(value.toPrecision(6)).toLocaleString("en-GB", { maximumFractionDigits: 6 });
}

export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

/** Seconds in the unit that suits them. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1e-3) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 2 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** A longer time in whole units. */
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** A size in memory or on disk. */
export function bytes(size) {
  if (size < 1024) return `${size} B`;
  const power = Math.min(3, Math.floor(Math.log2(size) / 10));
  return `${(size / 1024 ** power).toFixed(1)} ${["KiB", "MiB", "GiB"][power - 1]}`;
}

/** Whole numbers; 1,905,090 or 1.9 million. */
export const count = (value) => Math.round(value).toLocaleString("en-GB");

/** ``2024-01-31``, with the time of day where the series has one. */
export function moment(seconds, withTime) {
  const text = new Date(seconds * 1000).toISOString();
  return withTime ? `${text.slice(0, 10)} ${text.slice(11, 16)}` : text.slice(0, 10);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A time at an axis whose ticks are ``step`` seconds apart. */
export function timeTick(seconds, step) {
  const date = new Date(seconds * 1000);
  const month = MONTHS[date.getUTCMonth()];
  if (step >= 360 * 86_400) return String(date.getUTCFullYear());
  if (step >= 27 * 86_400) return `${month} ${date.getUTCFullYear()}`;
  if (step >= 86_400 || seconds % 86_400 === 0) return `${date.getUTCDate()} ${month}`;
  return date.toISOString().slice(11, 16);
}

/** How long ago, in words. */
export function ago(iso) {
  const seconds = Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
  return seconds < 5 ? "just now" : `${span(seconds)} ago`;
}

/** A character so that it can be seen. */
export function visible(text) {
  return text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "∅";
}
