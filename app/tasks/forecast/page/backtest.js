// The button "Backtest": forecasts of what is known already, along the series, and how good they were.

import { send } from "../../js/api.js";
import { byId, fillTable } from "../../js/dom.js";
import { query } from "./covariates.js";
import { parseTime } from "./csv.js";

const MOST_ORIGINS = 20;

/**
 * Ask for a backtest whose forecasts follow on each other.
 *
 * @param {string} text - a table
 * @param {object} wanted - horizon, levels, season, model, covariates
 * @param {object} column - the series of the table
 * @param {boolean} many - whether the table has others
 * @returns {Promise<{model: string, one: object}>} one: of that series
 */
export async function askBacktest(text, wanted, { name, target }, many) {
  const parameters = new URLSearchParams({
    horizon: wanted.horizon, stride: wanted.horizon, origins: MOST_ORIGINS, levels: wanted.levels.join(","), forecasts: true,
  });
  if (wanted.season !== null) parameters.set("season", wanted.season);
  if (wanted.model) parameters.set("model", wanted.model);
  if (target && many) parameters.set("targets", name);
  const answer = await send(`/forecast/backtest${query(parameters, wanted.covariates)}`, { body: text, type: "text/csv" });
  const { model, series } = await answer.json();
  return { model, one: series.find(({ id }) => id === name) };
}

/**
 * What was forecast for each of `length` values: median, and the ends of the widest interval; null where nothing was.
 *
 * @param {number[]|null} times - of the values; between them the server may have put moments that the file leaves out
 */
export function along(forecasts, length, times) {
  const said = { median: Array(length).fill(null), low: Array(length).fill(null), high: Array(length).fill(null) };
  const places = new Map(times?.map((time, at) => [time, at]));
  for (const { origin, timestamps, quantiles } of forecasts) {
    const place = (step) => (timestamps ? places.get(parseTime(timestamps[step])) : origin + step);
    const names = Object.keys(quantiles).sort((a, b) => a - b);
    for (const [part, name] of [["low", names[0]], ["median", names[(names.length - 1) / 2]], ["high", names.at(-1)]]) {
      quantiles[name].forEach((value, step) => {
        if (place(step) !== undefined) said[part][place(step)] = value;
      });
    }
  }
  return said;
}

/** The scores of the model beside those of the naive forecast. */
export function showScores(answer) {
  const { model, seasonal_naive: naive } = answer.one;
  const cell = (value, share) => (value === null ? "none" : share ? `${(100 * value).toFixed(1)} %` : value.toFixed(3));
  const rows = [["MASE", "mase"], ["RMSSE", "rmsse"], ["Scaled quantile loss", "pinball"]].map(([label, name]) =>
    [label, cell(model[name]), cell(naive[name])]);
  for (const level of Object.keys(model.coverage)) {
    rows.push([`Inside the ${level} % interval`, cell(model.coverage[level], true), cell(naive.coverage[level], true)]);
  }
  fillTable(byId("backtest-table"), ["", answer.model, "seasonal naive"], rows);
  byId("backtest-scores").hidden = false;
}
