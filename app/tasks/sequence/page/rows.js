// What a model reads, and a person's text or table as its steps.

import { ask } from "../../js/api.js";

export const MOST_ROWS = 5000;

/** What is wrong with pasted rows, in words. */
export class RowsProblem extends Error {
  title = "These rows cannot be read";
}

/** What a step of a model is: "text", "columns", "tokens" or "numbers". */
export function kindOf({ text, columns = [], vocabulary }) {
  if (text) return "text";
  if (columns.length) return "columns";
  return vocabulary ? "tokens" : "numbers";
}

/** The same in a sentence. */
export function described({ text, columns = [], vocabulary, width }) {
  if (text) return "It reads a text.";
  if (!columns.length) return vocabulary ? `It reads token ids below ${vocabulary}.` : `A row has ${width} numbers without names.`;
  const names = columns.map(({ name, unit, missing }) => [name, unit ? ` (${unit})` : "", missing ? ", may be missing" : ""].join(""));
  return `A row has ${columns.length === 1 ? "one column" : `${columns.length} columns`}: ${names.join("; ")}.`;
}

/** An example for the box of pasted rows. */
export function placeholder({ columns = [], vocabulary, width }) {
  if (columns.length) return `${columns.map(({ name }) => name).join(",")}\n${columns.map(() => "0.0").join(",")}`;
  return vocabulary ? "3, 0, 1" : Array(Math.min(width, 8)).fill("0.0").join(", ");
}

/**
 * The sequences of a table, as the API reads them.
 *
 * @returns {Promise<{others: string[], sequences: {id: string|null, rows: (number|null)[][]}[]}>}
 */
export function readTable(text, model, by) {
  const query = new URLSearchParams({ model, ...(by ? { id: by } : {}) });
  return ask(`/sequence/rows?${query}`, { body: text, type: "text/csv" });
}

/** Token ids, or numbers line by line, which a table without a header cannot say to the API. */
export function parseRows(text, { vocabulary, width }) {
  const numbers = (line) => line.split(/[\s,;]+/).filter(Boolean).map((word) => {
    const value = Number(word);
    if (!Number.isFinite(value)) throw new RowsProblem(`${word.slice(0, 40)} is no number.`);
    return value;
  });
  const rows = vocabulary ? numbers(text) : text.split("\n").filter((line) => line.trim()).map(numbers);
  const wrong = vocabulary ? -1 : rows.findIndex((row) => row.length !== width);
  if (!rows.length) throw new RowsProblem("There are none.");
  if (wrong >= 0) throw new RowsProblem(`Row ${wrong + 1} has ${rows[wrong].length} numbers, but the model reads ${width}.`);
  return rows;
}
