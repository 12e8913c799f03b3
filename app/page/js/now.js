// The panel "Now": small live charts of the metrics.

import { send } from "./api.js";
import { Chart } from "./chart.js";
import { byId, fill, make } from "./dom.js";
import { duration, short, tick } from "./format.js";
import { Between, Look } from "./metrics_text.js";
import { hush, tell } from "./notice.js";

const EVERY_MS = 2000;
const KEPT = 150; // five minutes

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
    sub: (between) => `95 % of runs within ${short(between.quantile("rnnserve_batch_size", 0.95))}`,
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

export function nowPanel() {
  const error = byId("now-error");
  const history = GAUGES.map(() => []);
  const times = [];
  let before = null;
  let timer = 0;
  let shown = true;

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
    formatX: (seconds) => (seconds === 0 ? "now" : `${Math.round(seconds)} s`),
    formatY: gauge.axis || tick,
  }));

  async function look() {
    clearTimeout(timer);
    if (!shown) return;
    if (document.hidden) {
      timer = setTimeout(look, EVERY_MS);
      return;
    }
    try {
      const answer = await send("/metrics");
      const after = new Look(await answer.text(), performance.now());
      hush(error);
      if (before) draw(new Between(before, after));
      drawModels(before ? new Between(before, after) : null, after);
      before = after;
      timer = setTimeout(look, history[0].length ? EVERY_MS : 400);
    } catch (problem) {
      before = null;
      if (problem.status !== 401) tell(error, problem, { again: look });
      timer = setTimeout(look, EVERY_MS);
    }
  }

  function draw(between) {
    times.push(between.after.at);
    gauges.forEach((gauge, at) => {
      const value = gauge.read(between);
      const values = history[at];
      values.push(value);
      const format = gauge.format || short;
      gauge.value.textContent = value === null ? "–" : format(value);
      gauge.sub.textContent = value === null ? "nothing just now" : gauge.words(between);
      if (values.length > KEPT) values.shift();
    });
    if (times.length > KEPT) times.shift();
    const now = times.at(-1);
    const x = times.map((one) => (one - now) / 1000);
    charts.forEach((chart, at) => chart.set([x, history[at]]));
    byId("now-since").textContent = `Read ${new Date().toLocaleTimeString("en-GB")}, every ${EVERY_MS / 1000} seconds.`;
  }

  function drawModels(between, after) {
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

  return {
    show: () => {
      shown = true;
      look();
    },
    hide: () => {
      shown = false;
      before = null;
    },
    keyChanged: look,
  };
}
