// The panel "Forecast": a CSV in, a fan of quantiles out, and the curl line that does the same.

import { models, send, serverTiming } from "../../js/api.js";
import { chartsInstalled } from "../../js/chart.js";
import { anomalyPath, findAnomalies } from "./anomalies.js";
import { along, askBacktest, showScores } from "./backtest.js";
import { covariatesOf, query } from "./covariates.js";
import { CsvProblem, asCell, naive, parseTime, readSeries } from "./csv.js";
import { byId, copy, download, dropZone, fill, fillSelect, make, number } from "../../js/dom.js";
import { Fan } from "./fan.js";
import { streamSeries } from "./stream.js";
import { moment, short } from "../../js/format.js";
import { hush, markField, tell } from "../../js/notice.js";
import { curlLine } from "./shell.js";
import { readText } from "./text_file.js";

const SAMPLES = [
  { file: "airline-passengers.csv", label: "Airline", horizon: 24 },
  { file: "new-york-taxis.csv", label: "Taxis", horizon: 48 },
  { file: "seattle-weather.csv", label: "Weather", horizon: 14 },
];
const HERE = new URL("./samples/", import.meta.url);
const MOST_NOTES = 3;
const MAX_FILE = 16 * 1024 * 1024;

export function panel() {
  const form = byId("forecast-form");
  const error = byId("forecast-error");
  const fan = new Fan(byId("forecast-chart"), byId("forecast-legend"), byId("forecast-readout"));
  let series = null; // {name, text, encoding, table, covariates}
  let chosen = null; // what was to be loaded last, {read, name, covariates}
  let own = []; // the forecasters that are served
  let result = null; // what can be saved: {name, rows, header}
  let loading = 0; // the number of the last file that was chosen
  let asked = 0; // the number of the last forecast that was asked for
  let running = null; // an AbortController while a stream runs

  const column = () => series.table.columns[Number(byId("column").value) || 0];
  const streaming = () => byId("stream-switch").checked;
  const covariates = () => {
    const { value } = byId("forecast-model");
    return covariatesOf(own.find((one) => (value ? `${one.name}@${one.version}` === value : one.default)));
  };
  const levels = () => [...byId("levels").querySelectorAll("input:checked")].map((one) => one.value);

  async function load({ text, encoding = null }, name, horizon = null) {
    hush(error, form);
    const mine = (loading += 1);
    const { parameters } = covariates();
    chosen = { read: { text, encoding }, name, covariates: parameters };
    let table;
    try {
      table = await readSeries(text, parameters);
    } catch (problem) {
      tell(error, problem, { again: problem.kind === "unreachable" ? () => load({ text, encoding }, name, horizon) : null });
      return;
    }
    if (mine !== loading) return; // another file was chosen meanwhile
    series = { name, text, encoding, table, covariates: parameters };
    const { columns, freq, notes } = table;
    fillSelect(byId("column"), columns.map((one, at) => ({ value: String(at), label: one.name })), "0");
    byId("season").value = "";
    if (horizon ?? columns[0].ahead) byId("horizon").value = columns[0].ahead || horizon;
    const rows = columns[0].values.length;
    const spacing = freq ? `, ${freq.words} (${freq.code})` : ", without times";
    const read = encoding === null ? "" : `, read as ${encoding}`;
    byId("csv-summary").textContent = [`${name}: ${rows} rows${spacing}${read}`, ...notes.slice(0, MOST_NOTES)].join(". ");
    for (const button of byId("samples").children) button.setAttribute("aria-pressed", String(button.dataset.file === name));
    await run();
  }

  async function readFile(file) {
    if (file.size > MAX_FILE) {
      tell(error, { title: `${file.name} is too large`, detail: "At most 16 MB are read here.", errors: [] });
      return;
    }
    let read;
    try {
      read = await readText(file);
    } catch (problem) {
      unreadable(file.name, problem);
      return;
    }
    await load(read, file.name);
  }

  function unreadable(name, problem) {
    if (!(problem instanceof CsvProblem)) throw problem;
    tell(error, { title: `${name} could not be read`, detail: problem.message, errors: [] });
  }

  async function sample({ file, horizon }) {
    try {
      const answer = await fetch(new URL(file, HERE));
      if (!answer.ok) throw new Error("the sample could not be read");
      await load({ text: await answer.text() }, file, horizon);
    } catch (problem) {
      tell(error, { title: "The sample could not be read", detail: "The server does not answer.", errors: [] }, { again: () => sample({ file, horizon }) });
      console.warn(problem);
    }
  }

  /** What a model reads besides the series is said, and the table read again where that is something else. */
  function modelChanged() {
    const { parameters, words } = covariates();
    byId("covariates").textContent = words && `${words} Streams are for models that read the series alone.`;
    if (words && streaming()) byId("stream-switch").click();
    byId("stream-switch").disabled = words !== "";
    if (chosen && JSON.stringify(parameters) !== JSON.stringify(chosen.covariates)) load(chosen.read, chosen.name);
  }

  /** The controls; null when something is missing, and said. */
  function controls() {
    hush(error, form);
    const horizon = number(byId("horizon"));
    if (horizon === null || !Number.isInteger(horizon) || horizon < 1) {
      markField(byId("horizon"), "a whole number of steps, 1 or more");
      return null;
    }
    const season = byId("season").value.replaceAll(" ", "") || null;
    if (season !== null && !/^[1-9]\d*(,[1-9]\d*)?$/.test(season)) {
      markField(byId("season"), "a whole number of steps, or two with a comma between them");
      return null;
    }
    if (!levels().length) {
      tell(error, { title: "No interval is chosen", detail: "Choose at least one under “Intervals”.", errors: [] });
      return null;
    }
    return {
      horizon, levels: levels().map(Number), season, model: byId("forecast-model").value || null, covariates: series.covariates,
    };
  }

  async function run() {
    byId("backtest-scores").hidden = true;
    if (!series) {
      tell(error, { title: "There is no series yet", detail: "Choose a sample, or drop a CSV.", errors: [] });
      return;
    }
    running?.abort();
    const wanted = controls();
    if (!wanted) return;
    if (streaming()) await stream(wanted);
    else await once(wanted);
  }

  /** What a forecast was made with, in a sentence. */
  function used({ season, long_season, freq, min, paths }) {
    const seasons = season > 1 ? `Season ${season}${long_season > season ? ` and ${long_season}` : ""}` : "No season";
    return `${seasons}${freq ? ` at frequency ${freq}` : ""}${min === null ? "" : `, nothing below ${min}`}` +
      `${paths ? `, ${paths} sample paths` : ""}.`;
  }

  async function backtest() {
    running?.abort();
    const wanted = series ? controls() : null;
    if (!wanted) return;
    byId("backtest-run").disabled = true;
    try {
      const { name, values, times } = column();
      const answer = await askBacktest(series.text, wanted, column(), series.table.columns.length > 1);
      const { season, long_season, freq, horizon, origins, forecasts } = answer.one;
      const view = base(wanted, season > 1 ? season : long_season);
      const title = `${name}, ${horizon} ahead from ${origins.length} places`;
      const said = along(forecasts, values.length, times);
      const label = `forecast ${horizon} steps ahead, ${Math.max(...wanted.levels)} %`;
      fan.draw({ ...view, title, x: times ?? values.map((_, at) => at), observed: values, ahead: null, ribbon: { ...said, label } });
      byId("forecast-title").textContent = title;
      byId("forecast-meta").textContent = `${answer.model}. ${used({ season, long_season, freq, min: null })}`;
      byId("anomalies").hidden = true;
      byId("curl-card").hidden = true;
      byId("forecast-values").hidden = true;
      byId("save-csv").disabled = true;
      showScores(answer);
    } catch (problem) {
      tell(error, problem, { form, again: problem.kind === "unreachable" ? backtest : null });
    } finally {
      byId("backtest-run").disabled = false;
    }
  }

  async function anomalies() {
    running?.abort();
    byId("backtest-scores").hidden = true;
    const wanted = series ? controls() : null;
    if (!wanted) return;
    byId("anomaly-run").disabled = true;
    try {
      const { name, values, times } = column();
      const view = base(wanted);
      const path = anomalyPath(wanted, column(), series.table.columns.length > 1);
      const { model, shown, events } = await findAnomalies(path, series.text, column(), view);
      const title = `${name}, what is unusual`;
      fan.draw({ ...view, ...shown, title, x: times ?? values.map((_, at) => at), observed: values, ahead: null });
      byId("forecast-title").textContent = title;
      byId("forecast-meta").textContent = `${model} found ${events.length} ${events.length === 1 ? "event" : "events"} in ${values.length} values.`;
      byId("anomalies").hidden = false;
      fill(byId("anomaly-rows"));
      events.forEach(surprise);
      byId("forecast-values").hidden = true;
      byId("save-csv").disabled = true;
      byId("save-png").disabled = !chartsInstalled();
      result = { name: `${name}-anomalies` };
      byId("curl").textContent = curlLine(path, series);
      byId("curl-card").hidden = false;
    } catch (problem) {
      tell(error, problem, { form, again: problem.kind === "unreachable" ? anomalies : null });
    } finally {
      byId("anomaly-run").disabled = false;
    }
  }

  async function once(wanted) {
    byId("anomalies").hidden = true;
    byId("forecast-run").disabled = true;
    const mine = (asked += 1);
    const began = performance.now();
    const { name, target } = column();
    const parameters = new URLSearchParams({ horizon: wanted.horizon, levels: wanted.levels.join(",") });
    if (wanted.season !== null) parameters.set("season", wanted.season);
    if (wanted.model) parameters.set("model", wanted.model);
    if (target && series.table.columns.length > 1) parameters.set("targets", name);
    const path = `/forecast${query(parameters, wanted.covariates)}`;
    try {
      const answer = await send(path, { body: series.text, type: "text/csv" });
      const { model, forecasts } = await answer.json();
      if (mine !== asked) return; // another column was chosen meanwhile
      const took = performance.now() - began;
      show(forecasts.find(({ id }) => id === name), wanted);
      const timing = serverTiming(answer);
      byId("forecast-meta").textContent = `${model} answered in ${took.toFixed(1)} ms` +
        (timing.compute === undefined ? "." : `, of which the network took ${timing.compute.toFixed(1)}.`) +
        ` ${used(forecasts.find(({ id }) => id === name))}`;
      byId("curl").textContent = curlLine(path, series);
      byId("curl-card").hidden = false;
    } catch (problem) {
      tell(error, problem, { form, again: problem.kind === "unreachable" ? run : null });
    } finally {
      byId("forecast-run").disabled = false;
    }
  }

  /** `found`: the season that the server used, where it has answered. */
  function base(wanted, found = null) {
    const { table } = series;
    const { values, name, times } = column();
    const season = found ?? (wanted.season === null ? table.freq?.season ?? 1 : Number.parseInt(wanted.season, 10));
    const seasonal = season > 1 && values.length >= season;
    return {
      title: `${name}, ${wanted.horizon} ahead`,
      time: times !== null,
      withTime: times !== null && times.some((one) => one % 86_400 !== 0),
      season,
      naiveLabel: seasonal ? `naive: as ${season} steps before` : "naive: the last value",
    };
  }

  function show(forecast, wanted) {
    const { values, times } = column();
    const view = base(wanted, forecast.season > 1 ? forecast.season : forecast.long_season);
    const x = times ?? values.map((_, at) => at);
    const ahead = {
      x: forecast.timestamps ? forecast.timestamps.map(parseTime) : forecast.mean.map((_, at) => values.length + at),
      mean: forecast.mean,
      quantiles: forecast.quantiles,
      naive: naive(values, forecast.mean.length, view.season),
    };
    if (view.time && !forecast.timestamps) {
      view.time = false;
    }
    fan.draw({ ...view, x: view.time ? x : values.map((_, at) => at), observed: values, ahead, tail: Math.max(5 * wanted.horizon, 120) });
    present(view, ahead, wanted);
  }

  /** Title, table, and what can be saved. */
  function present(view, ahead, wanted) {
    byId("forecast-title").textContent = view.title;
    const quantiles = Object.keys(ahead.quantiles);
    const header = [view.time ? "time" : "step", "mean", ...quantiles.map((one) => `quantile ${one}`), "naive"];
    const rows = ahead.x.map((x, at) => [
      view.time ? moment(x, view.withTime) : String(x + 1),
      ahead.mean[at], ...quantiles.map((one) => ahead.quantiles[one][at]), ahead.naive[at],
    ]);
    result = { header, rows, name: `${column().name}-forecast` };
    const cell = (value, place) => (place === 0
      ? make("th", { scope: "row" }, value)
      : make("td", { class: "num", "data-value": value }, short(value)));
    fill(byId("forecast-table"),
      make("caption", { class: "visually-hidden" }, view.title),
      make("thead", {}, make("tr", {}, ...header.map((one, at) => make("th", { scope: "col", class: at ? "num" : null }, one)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))));
    byId("forecast-values").hidden = false;
    if (!chartsInstalled()) byId("forecast-values").open = true;
    byId("save-csv").disabled = false;
    byId("save-png").disabled = !chartsInstalled();
    byId("horizon").removeAttribute("aria-invalid");
    byId("horizon").max = Math.max(wanted.horizon, Number(byId("horizon").max) || 0);
  }

  async function stream(wanted) {
    running = new AbortController();
    const { signal } = running;
    byId("forecast-run").disabled = true;
    byId("forecast-stop").hidden = false;
    byId("curl-card").hidden = true;
    byId("anomalies").hidden = false;
    fill(byId("anomaly-rows"));
    const view = base(wanted);
    try {
      await streamSeries({
        series, column: column(), wanted, view, fan, signal,
        pace: Number(byId("stream-pace").value),
        say: (words) => (byId("forecast-meta").textContent = words),
        surprise,
        present: (ahead) => present(view, ahead, wanted),
      });
    } catch (problem) {
      tell(error, problem, { form, again: problem.kind === "unreachable" ? run : null });
    } finally {
      if (running?.signal === signal) running = null;
      byId("forecast-run").disabled = false;
      byId("forecast-stop").hidden = true;
    }
  }

  function surprise({ when, value, low, high, score }) {
    const row = make("tr", {}, make("th", { scope: "row" }, when), make("td", {}, short(value)),
      make("td", {}, `${short(low)} to ${short(high)}`), make("td", {}, score.toFixed(1)));
    byId("anomaly-rows").prepend(row);
    byId("anomaly-live").textContent = `Surprising: ${short(value)} at ${when}, expected ${short(low)} to ${short(high)}`;
  }

  async function fillModels() {
    try {
      own = (await models()).filter((one) => one.task === "forecast");
      fillSelect(byId("forecast-model"), own.map((one) => ({ value: one.default ? "" : `${one.name}@${one.version}`, label: `${one.name}@${one.version}` })), "");
      const most = own.find((one) => one.default)?.limits.max_horizon ?? own[0]?.limits.max_horizon;
      if (most) byId("horizon-max").textContent = `up to ${most}`;
      modelChanged();
      if (!own.length) tell(error, { title: "No forecaster is served here", detail: "The folder of models holds none.", errors: [] });
    } catch (problem) {
      if (problem.status !== 401) tell(error, problem, { again: start });
    }
  }

  async function start() {
    hush(error, form);
    fillModels();
    if (!series) await sample(SAMPLES[0]);
    else await run();
  }

  fill(byId("samples"), ...SAMPLES.map((one) =>
    make("button", { type: "button", "data-file": one.file, "aria-pressed": "false", onclick: () => sample(one) }, one.label)));
  dropZone(byId("drop"), byId("csv-file"), readFile);
  byId("use-paste").addEventListener("click", () => load({ text: byId("csv-text").value }, "pasted rows"));
  byId("column").addEventListener("change", run);
  byId("forecast-model").addEventListener("change", () => {
    hush(error, form);
    modelChanged();
  });
  byId("levels").addEventListener("change", () => !streaming() && run());
  byId("stream-switch").addEventListener("change", () => {
    byId("pace-field").hidden = !streaming();
    byId("forecast-run").textContent = streaming() ? "Stream" : "Forecast";
    running?.abort();
  });
  byId("backtest-run").addEventListener("click", backtest);
  byId("anomaly-run").addEventListener("click", anomalies);
  byId("forecast-stop").addEventListener("click", () => running?.abort());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  byId("zoom-in").addEventListener("click", fan.chart.zoomIn);
  byId("zoom-out").addEventListener("click", fan.chart.zoomOut);
  byId("zoom-reset").addEventListener("click", fan.chart.zoomAll);
  byId("save-csv").addEventListener("click", () => {
    const text = [result.header, ...result.rows].map((row) => row.map(asCell).join(",")).join("\n");
    download(new Blob([`${text}\n`], { type: "text/csv" }), `${result.name}.csv`);
  });
  byId("save-png").addEventListener("click", async () => download(await fan.png(), `${result.name}.png`));
  byId("copy-curl").addEventListener("click", async () => {
    byId("copy-curl").textContent = (await copy(byId("curl"))) ? "Copied" : "Selected";
    setTimeout(() => (byId("copy-curl").textContent = "Copy"), 1500);
  });
  start();
  return { keyChanged: start, hide: () => running?.abort() };
}

