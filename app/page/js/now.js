// The panel "Now": small live charts of the metrics, and what the process has come to since its start.

import { send } from "./api.js";
import { Chart } from "./chart.js";
import { byId, fill, make } from "./dom.js";
import { bytes, count, duration, short, span, tick } from "./format.js";
import { Between, Look } from "./metrics_text.js";
import { History, KEPT_S } from "./now_history.js";
import { hush, tell } from "./notice.js";

const EVERY_MS = 2000;
const STATUSES = {
  400: "malformed", 401: "no valid key", 403: "not allowed", 404: "nothing there", 405: "wrong method", 408: "sent too slowly",
  409: "conflict", 410: "session ended", 412: "other model version", 413: "too large", 415: "wrong content type", 422: "not valid",
  429: "too many requests", 499: "client went away", 500: "failed", 503: "busy or shutting down", 504: "took too long",
};

/** So many a second, or in a run. */
const rate = (value) => (value >= 100 || Number.isInteger(value) ? short(value) : value.toFixed(1));

/** Each gauge reads a number of what happened between two looks; null where there is nothing to read. */
const GAUGES = [
  {
    id: "requests", title: "Requests a second", format: rate,
    read: (between) => between.rate("rnnserve_requests_total"),
    sub: (between) => outcomes(between),
  },
  {
    id: "latency", title: "Answer time", format: duration, axis: secondsTick,
    read: (between) => between.quantile("rnnserve_e2e_request_latency_seconds", 0.95),
    sub: (between) => `95 % within; median ${duration(between.quantile("rnnserve_e2e_request_latency_seconds", 0.5) ?? NaN)}`,
  },
  {
    id: "step", title: "Time of a run", format: duration, axis: secondsTick,
    read: (between) => between.quantile("rnnserve_tick_seconds", 0.95),
    sub: (between) => `95 % within; median ${duration(between.quantile("rnnserve_tick_seconds", 0.5) ?? NaN)}`,
  },
  {
    id: "steps", title: "Steps a second", format: rate,
    read: (between) => between.rate("rnnserve_steps_total"),
    sub: (between) => `${rate(between.rate("rnnserve_session_steps_total") ?? 0)} of them stored in sessions`,
  },
  {
    id: "queue", title: "Queued steps",
    read: ({ after }) => after.sum("rnnserve_queue_steps"),
    sub: ({ after }) => `${short(after.sum("rnnserve_sequences") ?? 0)} sequences queued or running`,
  },
  {
    id: "batch", title: "Rows in a run, mean", format: rate,
    read: (between) => between.mean("rnnserve_batch_size"),
    sub: (between) => rows(between.bounds("rnnserve_batch_size", 0.95)),
  },
  {
    id: "slots", title: "Slots in use",
    read: ({ after }) => after.sum("rnnserve_slots_used"),
    sub: ({ after }) => `${limit(after, "rnnserve_slots")}${sockets(after.sum("rnnserve_websockets") ?? 0)}`,
  },
  {
    id: "sessions", title: "Live sessions",
    read: ({ after }) => after.sum("rnnserve_sessions_live"),
    sub: ({ after }) => `${limit(after, "rnnserve_sessions_limit")}${storeWords(after)}`,
  },
];

/** Rows are counted, so a number between two of them would say nothing. */
function rows([low, high]) {
  return high === Infinity ? `5 % of runs or more have over ${short(low)}` : `95 % of runs have at most ${short(high)}`;
}

const sockets = (open) => `${short(open)} ${open === 1 ? "socket" : "sockets"} open`;

function secondsTick(seconds) {
  return seconds === 0 ? "0" : duration(seconds);
}

/** ``of 1,024; `` where the server says how many there may be. */
function limit(after, name) {
  const most = after.sum(name);
  return most === null ? "" : `of ${short(most)}; `;
}

function outcomes(between) {
  const bad = ["capacity", "server"].map((one) => [one, between.grown("rnnserve_requests_total", { outcome: one }) ?? 0]).filter(([, count]) => count);
  return bad.length ? bad.map(([name, count]) => `${short(count)} failed: ${name}`).join(", ") : "none failed";
}

function storeWords(after) {
  const up = after.sum("rnnserve_session_store_up");
  if (up === null) return "";
  return up ? "the store answers" : "the store does not answer";
}

/** What a status means, and how often it was answered: [[status, routes, since the start]]. */
function failures(after) {
  const found = new Map();
  for (const { labels, value } of after.samples.get("rnnserve_http_responses_total") || []) {
    if (Number(labels.status) < 400 || !value) continue;
    if (!found.has(labels.status)) found.set(labels.status, []);
    found.get(labels.status).push([labels.route, value]);
  }
  return [...found].sort().map(([status, routes]) => [
    status, routes.sort((a, b) => b[1] - a[1]), routes.reduce((total, [, value]) => total + value, 0)]);
}

/** The process in figures: [[name, words]]. */
function processFigures(after, between) {
  const started = after.sum("process_start_time_seconds");
  const workers = after.sum("rnnserve_workers") ?? 1;
  const cores = between?.rate("process_cpu_seconds_total") ?? null;
  const disk = after.sum("rnnserve_session_store_disk_bytes");
  const size = (value) => (value === null ? "–" : bytes(value));
  return [
    ["Version", after.values("rnnserve_build_info", "version")[0] ?? "–"],
    ["Up for", started === null ? "–" : span(Date.now() / 1000 - started)],
    ["Memory", size(after.sum("process_resident_memory_bytes"))],
    ["Processor", cores === null ? "–" : `${Math.round(100 * cores)} % of a core`],
    ["Disk of sessions", disk === null ? "none" : bytes(disk)],
    ["Files and sockets", `${short(after.sum("process_open_fds"))} of ${short(after.sum("process_max_fds"))}`],
    ["Workers", short(workers)],
    ["Requests", count(after.sum("rnnserve_requests_total") ?? 0)],
  ];
}

export function nowPanel() {
  const error = byId("now-error");
  const history = new History(GAUGES.length);
  let before = null;
  let readAt = null; // when the server answered last
  let timer = 0;
  let turn = 0;

  const gauges = GAUGES.map((gauge) => {
    const value = make("p", { class: "value" }, "–");
    const host = make("div", { class: "chart" });
    const sub = make("p", { class: "sub" });
    const card = make("div", { class: "card gauge", id: `gauge-${gauge.id}` },
      make("div", { class: "gauge-head" }, make("h2", {}, gauge.title), value), sub, host);
    return { ...gauge, value, host, sub, card, words: gauge.sub };
  });
  fill(byId("gauges"), ...gauges.map((one) => one.card));
  const charts = gauges.map((gauge) => new Chart(gauge.host, {
    label: `${gauge.title}, the last five minutes`, zoom: false, time: false, axisWidth: 58,
    series: [{ label: gauge.title, color: "accent", width: 1.6, fill: 0.14 }],
    range: (_, __, high) => [0, high && high > 0 ? high * 1.15 : 1],
    rangeX: [-KEPT_S, 0], stepsX: [60, 120],
    formatX: (seconds) => (seconds < 0 ? `${seconds / -60} min ago` : "now"),
    formatY: gauge.axis || tick,
  }));

  async function look() {
    clearTimeout(timer);
    turn += 1;
    const own = turn;
    if (document.hidden) {
      timer = setTimeout(look, EVERY_MS);
      return;
    }
    try {
      const answer = await send("/metrics");
      const after = new Look(await answer.text(), performance.now());
      if (own !== turn) return; // another look has begun meanwhile
      hush(error);
      readAt = Date.now();
      const between = before ? new Between(before, after) : null;
      const failed = failures(after);
      if (between) draw(between, failed);
      drawProcess(after, between);
      drawFailures(failed);
      drawModels(after, between);
      timer = setTimeout(look, before ? EVERY_MS : 400);
      before = after;
    } catch (problem) {
      if (own !== turn) return;
      stale();
      if (problem.status !== 401) tell(error, problem, { again: look });
      timer = setTimeout(look, EVERY_MS);
    }
  }

  const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

  function draw(between, failed) {
    const values = gauges.map((gauge) => gauge.read(between));
    history.add(readAt, values, Object.fromEntries(failed.map(([status, , total]) => [status, total])));
    gauges.forEach((gauge, at) => {
      const format = gauge.format || short;
      gauge.value.textContent = values[at] === null ? "–" : format(values[at]);
      gauge.sub.textContent = values[at] === null ? "nothing just now" : gauge.words(between);
    });
    drawCharts();
    byId("now-since").textContent = `Read ${clock(readAt)}, every ${EVERY_MS / 1000} seconds.`;
  }

  function drawCharts() {
    const [x, ...columns] = history.columns(Date.now());
    charts.forEach((chart, at) => chart.set([x, columns[at]]));
  }

  /** The server does not answer: what was read is no longer so, and nothing says what is. */
  function stale() {
    before = null;
    for (const gauge of gauges) {
      gauge.value.textContent = "–";
      gauge.sub.textContent = "not known";
    }
    if (history.readings.length) drawCharts();
    for (const id of ["now-process", "now-errors", "now-models"]) fill(byId(id));
    byId("now-since").textContent = readAt === null ? "" : `Last read ${clock(readAt)}.`;
  }

  function drawProcess(after, between) {
    fill(byId("now-process"), ...processFigures(after, between).map(([name, words]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, words))));
  }

  function drawFailures(failed) {
    const cell = (value) => make("td", { class: "num" }, count(value));
    fill(byId("now-errors"), ...(failed.length ? failed.map(([status, routes, total]) =>
      make("tr", {}, make("td", {}, make("b", {}, status), ` ${STATUSES[status] ?? ""}`),
        make("td", {}, routes.slice(0, 3).map(([route, value]) => `${route} ${count(value)}`).join(", ") + (routes.length > 3 ? ", …" : "")),
        cell(history.failures(status)), cell(total)))
      : [make("tr", {}, make("td", { colSpan: 4 }, "None since the start."))]));
  }

  function drawModels(after, between) {
    const names = after.values("rnnserve_model_info", "model");
    fill(byId("now-models"), ...names.map((model) => {
      const only = { model };
      const cell = (text) => make("td", { class: "num" }, text);
      const up = after.sum("rnnserve_engine_up", only);
      return make("tr", {}, make("td", {}, model),
        make("td", {}, make("span", { class: `badge ${up === 0 ? "bad" : "good"}` }, up === 0 ? "stopped" : "runs")),
        cell(short(after.sum("rnnserve_slots_used", only) ?? 0)), cell(short(after.sum("rnnserve_queue_steps", only) ?? 0)),
        cell(short(between?.mean("rnnserve_batch_size", only) ?? null)),
        cell(rate(between?.rate("rnnserve_steps_total", only) ?? 0)),
        cell(duration(between?.quantile("rnnserve_tick_seconds", 0.5, only) ?? NaN)));
    }));
  }

  return { show: look, keyChanged: look };
}
