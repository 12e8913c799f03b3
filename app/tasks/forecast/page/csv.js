// Reads a plain CSV, for the chart: the separator from the header, ISO 8601 times in the first column or none, gaps as null.

// As in app/features/table.py, which reads other forms of numbers and times too.
const MISSING = new Set(["", "-", "--", ".", "?", "na", "n/a", "#n/a", "#na", "<na>", "nan", "nat", "null", "none", "\\n"]);

/** What is wrong with a file, in words. */
export class CsvProblem extends Error {}

/** Cells of a CSV text; quoted cells may hold separators, quotes and line ends. */
function cells(text, separator) {
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else quoted = false;
    } else if (letter === '"' && cell === "") quoted = true;
    else if (letter === separator) {
      row.push(cell);
      cell = "";
    } else if (letter === "\n" || letter === "\r") {
      if (letter === "\r" && text[at + 1] === "\n") at += 1;
      row.push(cell);
      if (row.some((one) => one.trim() !== "")) rows.push(row);
      row = [];
      cell = "";
    } else cell += letter;
  }
  row.push(cell);
  if (row.some((one) => one.trim() !== "")) rows.push(row);
  return rows;
}

/** A value as a cell. */
export const asCell = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

function separatorOf(header) {
  const counts = [",", ";", "\t"].map((one) => [header.split(one).length, one]);
  counts.sort((a, b) => b[0] - a[0]);
  return counts[0][1];
}

/** Seconds since the epoch; a time without an offset is taken as UTC. NaN when it is no time. */
export function parseTime(text) {
  const clean = text.trim().replace(" ", "T");
  if (!/^\d{4}-\d{2}(-\d{2})?/.test(clean)) return NaN;
  const full = /^\d{4}-\d{2}$/.test(clean) ? `${clean}-01` : clean;
  const zoned = /(Z|[+-]\d{2}:?\d{2})$/.test(full) || !full.includes("T");
  return Date.parse(zoned ? full : `${full}Z`) / 1000;
}

const toNumber = (text) => (MISSING.has(text.trim().toLowerCase()) ? null : Number(text.trim()));

/**
 * A table of series.
 *
 * @returns {{columns: {name: string, values: (number|null)[]}[], times: number[]|null, labels: string[]|null,
 *   freq: {code: string, words: string, season: number}|null, rows: string[][], separator: string}}
 */
export function readSeries(text) {
  const clean = text.replace(/^\uFEFF/, "");
  const header = clean.slice(0, clean.search(/[\r\n]|$/));
  const separator = separatorOf(header);
  const rows = cells(clean, separator);
  if (rows.length < 3) throw new CsvProblem("A header and at least two rows are needed.");
  const [names, ...body] = rows;
  const width = names.length;
  const uneven = body.findIndex((row) => row.length !== width);
  if (uneven >= 0) {
    throw new CsvProblem(`Row ${uneven + 2} has ${body[uneven].length} cells, and the header has ${width}.`);
  }
  const labels = body.map((row) => row[0].trim());
  const parsed = labels.map(parseTime);
  const timed = parsed.every(Number.isFinite);
  const columns = names.slice(timed ? 1 : 0).map((name, place) => {
    const index = place + (timed ? 1 : 0);
    return { name: name.trim(), values: body.map((row) => toNumber(row[index])) };
  });
  if (!columns.length) throw new CsvProblem("There is a time column, and none with values.");
  const numeric = columns.filter(({ values }) => values.every((one) => one === null || Number.isFinite(one)));
  if (!numeric.length) throw new CsvProblem("No column holds numbers alone.");
  if (!timed) return { columns: numeric, times: null, labels: null, freq: null, rows, separator };
  if (parsed.some((one, at) => at && one <= parsed[at - 1])) throw new CsvProblem("The times must ascend.");
  return { columns: numeric, times: parsed, labels, freq: frequencyOf(parsed), rows, separator };
}

const DAY = 86_400;

/** The code that the API has for a spacing, the spacing in words, and the steps of a season; null when it has no code. */
function frequencyOf(times) {
  const gaps = times.slice(1).map((one, at) => one - times[at]);
  gaps.sort((a, b) => a - b);
  const usual = gaps[Math.floor(gaps.length / 2)];
  const days = times.map((one) => new Date(one * 1000).getUTCDate());
  const within = (low, high) => usual >= low * DAY && usual <= high * DAY;
  const anchored = (one) => (days.every((day) => day === 1) ? `${one}S` : `${one}E`);
  if (usual < 3600 && usual % 60 === 0 && 3600 % usual === 0) {
    const minutes = usual / 60;
    return { code: `${minutes}min`, words: minutes === 1 ? "each minute" : `every ${minutes} minutes`, season: DAY / usual };
  }
  if (usual % 3600 === 0 && usual < DAY && DAY % usual === 0) {
    const hours = usual / 3600;
    return hours === 1 ? { code: "h", words: "hourly", season: 24 } : { code: `${hours}h`, words: `every ${hours} hours`, season: 24 / hours };
  }
  if (usual === DAY) {
    const weekend = times.some((one) => [0, 6].includes(new Date(one * 1000).getUTCDay()));
    return weekend ? { code: "D", words: "daily", season: 7 } : { code: "B", words: "each business day", season: 5 };
  }
  if (usual === 7 * DAY) return { code: "W", words: "weekly", season: 52 };
  if (within(28, 31)) return { code: anchored("M"), words: "monthly", season: 12 };
  if (within(89, 92)) return { code: anchored("Q"), words: "quarterly", season: 4 };
  if (within(365, 366)) return { code: anchored("Y"), words: "yearly", season: 1 };
  return null;
}

/** The forecast that everybody has for free: the value one season before, or the last one. */
export function naive(values, horizon, season) {
  const known = values.slice();
  for (let at = 0; at < known.length; at += 1) if (known[at] === null) known[at] = at ? known[at - 1] : null;
  const lag = season > 1 && known.length >= season ? season : 1;
  return Array.from({ length: horizon }, (_, step) => known[known.length - lag + (step % lag)]);
}
