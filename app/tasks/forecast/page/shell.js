// The command that does the same from a shell.

import { asCell } from "./csv.js";

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The time column and one other of a CSV, where it has more.
 *
 * @returns {{body: string, cut: {columns: number[], separator: string}|null}} cut: the columns that are sent, from 1
 */
export function cutColumns(series, name) {
  const { rows, separator, times } = series.table;
  const index = rows[0].findIndex((one) => one.trim() === name);
  const kept = times ? [...new Set([0, index])] : [index];
  if (rows[0].length === kept.length) return { body: series.text, cut: null };
  const body = rows.map((row) => kept.map((at) => asCell(row[at])).join(",")).join("\n");
  return { body: `${body}\n`, cut: { columns: kept.map((at) => at + 1), separator } };
}

/** As curl, reading the file that was chosen. */
export function curlLine(path, series, cut) {
  const url = quote(`${new URL(path.slice(1), document.baseURI)}`);
  const file = series.name === "pasted rows" ? "rows.csv" : series.name;
  const safe = /^[\w.-]+$/.test(file) ? file : quote(file);
  const request = (source) => [`curl -s ${url}`, "-H 'content-type: text/csv'", `--data-binary ${source}`];
  const stages = [];
  if (series.encoding !== null) stages.push(`iconv -f ${series.encoding} -t UTF-8 ${safe} |`);
  if (cut !== null) {
    const by = cut.separator === "\t" ? "" : ` -d${quote(cut.separator)}`;
    stages.push(`cut${by} -f${cut.columns.join(",")}${stages.length ? "" : ` ${safe}`} |`);
  }
  if (!stages.length) return request(`@${safe}`).join(" \\\n  ");
  return [...stages, request("@-").join(" \\\n    ")].join("\n  ");
}
