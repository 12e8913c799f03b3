// The button "Find anomalies": a whole series in one request, and what is unusual in it.

import { send } from "../../js/api.js";
import { moment } from "../../js/format.js";
import { query } from "./covariates.js";

/** Values of which a thousandth may be wrong, as the API has it where nothing else is asked for. */
export function anomalyPath({ season, model, covariates }, { name, target }, many) {
  const parameters = new URLSearchParams();
  if (season !== null) parameters.set("season", season);
  if (model) parameters.set("model", model);
  if (target && many) parameters.set("targets", name);
  return `/anomalies${query(parameters, covariates)}`;
}

/**
 * Ask, and put it into the form of the chart.
 *
 * @returns {Promise<{model: string, shown: object, events: object[]}>} shown: ribbon, scores and anomalies for the fan
 */
export async function findAnomalies(path, text, column, view) {
  const answer = await send(path, { body: text, type: "text/csv" });
  const { model, level, series } = await answer.json();
  const { values, low, high, scores, events } = series.find(({ id }) => id === column.name);
  const marked = values.map(() => null);
  const when = (step) => (view.time ? moment(column.times[step], view.withTime) : `step ${step + 1}`);
  for (const { first, last } of events) {
    for (let step = first; step <= last; step += 1) marked[step] = values[step];
  }
  return {
    model,
    shown: { ribbon: { low, high, label: `expected one step before, ${level} %` }, scores, anomalies: marked },
    events: events.map(({ peak, value, score }) => ({ when: when(peak), value, low: low[peak], high: high[peak], score })),
  };
}
