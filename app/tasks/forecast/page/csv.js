// A table as the API reads it, for the chart; and a CSV's cells.

import { ask } from "../../js/api.js";
import { query } from "./covariates.js";

/** What is wrong with a file, in words. */
export class CsvProblem extends Error {}

/** A value as a cell. */
export const asCell = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

/** Seconds since the epoch of the clock on the wall: an offset from UTC is left out. */
export const parseTime = (text) => Date.parse(`${text.slice(0, 19)}Z`) / 1000;

/**
 * The series of a table.
 *
 * @param {Object<string, string>} covariates - which columns are none, as parameters
 * @returns {Promise<{columns: {name: string, values: (number|null)[], ahead: number, labels: string[]|null, times: number[]|null,
 *   target: boolean}[], freq: {code: string, words: string, season: number}|null, notes: string[]}>}
 *   target: whether the series is a column of that name, which can be asked for alone
 *   ahead: steps behind the last value of which covariates are told
 */
export async function readSeries(text, covariates) {
  const path = `/forecast/series${query(new URLSearchParams(), covariates)}`;
  const { series, freq, season, ids, targets, notes } = await ask(path, { body: text, type: "text/csv" });
  return {
    columns: series.map(({ id, values, timestamps }) => {
      const known = covariates.future ? values.findLastIndex((one) => one !== null) + 1 : values.length;
      return {
        name: id,
        values: values.slice(0, known),
        ahead: values.length - known,
        labels: timestamps?.slice(0, known) ?? null,
        times: timestamps && timestamps.slice(0, known).map(parseTime),
        target: !ids.length && targets.includes(id),
      };
    }),
    freq: freq && { code: freq, words: inWords(freq), season },
    notes: Object.entries(notes).map(([name, note]) => `${name}: ${note}`),
  };
}

const UNITS = {
  s: ["each second", "seconds"], min: ["each minute", "minutes"], h: ["hourly", "hours"], D: ["daily", "days"],
  B: ["each business day", "business days"], W: ["weekly", "weeks"], M: ["monthly", "months"],
  Q: ["quarterly", "quarters"], Y: ["yearly", "years"],
};

/** A frequency's code in words. */
function inWords(code) {
  const [, count, unit] = /^(\d*)([a-zA-Z]+)$/.exec(code);
  const [one, many] = UNITS[unit] ?? UNITS[unit[0]];
  return count ? `every ${count} ${many}` : one;
}

/** The forecast that everybody has for free: the value one season before, or the last one. */
export function naive(values, horizon, season) {
  const known = values.slice();
  for (let at = 0; at < known.length; at += 1) if (known[at] === null) known[at] = at ? known[at - 1] : null;
  const lag = season > 1 && known.length >= season ? season : 1;
  return Array.from({ length: horizon }, (_, step) => known[known.length - lag + (step % lag)]);
}
