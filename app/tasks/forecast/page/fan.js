// A series, what is forecast of it, and what the naive forecast says: the picture and its words.

import { Chart, fillLegend } from "../../js/chart.js";
import { fill, make } from "../../js/dom.js";
import { moment, short, tick } from "../../js/format.js";

const SHARES = [0.16, 0.24, 0.34, 0.44]; // the narrower the interval, the darker; they lie on each other

/** Central intervals in the quantiles of an answer: [{level, low, high}], widest first. */
export function intervals(quantiles) {
  const found = [];
  for (const name of Object.keys(quantiles)) {
    const level = Math.round((1 - 2 * Number(name)) * 1e4) / 100;
    const upper = Object.keys(quantiles).find((one) => Math.abs(Number(one) - (1 - Number(name))) < 1e-9);
    if (level > 0 && upper) found.push({ level, low: quantiles[name], high: quantiles[upper] });
  }
  return found.sort((a, b) => b.level - a.level);
}

export class Fan {
  constructor(host, legend, readout) {
    this.legend = legend;
    this.readout = readout;
    this.shown = null;
    this._signature = "";
    this.chart = new Chart(host, { label: "Forecast", series: [], onCursor: (index) => this._read(index) });
  }

  /**
   * Draw.
   *
   * @param {object} view
   *   title, time (whether x are times), withTime (of day)
   *   x, observed: the history
   *   ahead: {x, mean, quantiles, naive} or null
   *   naiveLabel: in words
   *   ribbon: {low, high, median, label} what was forecast of the history, or null; scores, anomalies: arrays like x
   *   tail: how many points of the history are shown at first
   */
  draw(view, { keepWindow = false } = {}) {
    this.shown = view;
    const bands = view.ahead ? intervals(view.ahead.quantiles) : [];
    this._shape(view, bands);
    const last = view.observed.findLastIndex((one) => one !== null);
    const ahead = view.ahead?.x ?? [];
    const before = (values) => [...view.x.map((_, at) => (at === last ? view.observed[last] : null)), ...values];
    const after = (values) => [...values, ...ahead.map(() => null)];
    const columns = [[...view.x, ...ahead]];
    for (const { low, high } of bands) columns.push(before(high), before(low));
    if (view.ribbon) columns.push(after(view.ribbon.high), after(view.ribbon.low));
    if (view.ribbon?.median) columns.push(after(view.ribbon.median));
    if (view.ahead) columns.push(before(view.ahead.naive), before(view.ahead.mean));
    columns.push(after(view.observed));
    if (view.anomalies) columns.push(after(view.anomalies));
    this.chart.set(columns, { keepWindow });
    if (!keepWindow && view.tail && view.x.length > view.tail) {
      this.chart.view(view.x[view.x.length - view.tail], columns[0].at(-1));
    }
  }

  /** Series and bands; made anew only when there are others than before. */
  _shape(view, bands) {
    const signature = JSON.stringify([view.title, view.time, bands.map((one) => one.level), view.ribbon?.label, Boolean(view.anomalies), Boolean(view.ahead), view.naiveLabel]);
    if (signature === this._signature) return;
    this._signature = signature;
    const series = [];
    const fills = [];
    const entries = [{ label: "observed", color: "ink", kind: "line" }];
    if (view.ahead) {
      entries.push({ label: "forecast", color: "accent", kind: "line" }, { label: view.naiveLabel, color: "naive", kind: "dash" });
    }
    bands.forEach(({ level }, place) => {
      series.push({ label: `${level} % high` }, { label: `${level} % low` });
      const share = SHARES[Math.min(SHARES.length - 1, place + Math.max(0, SHARES.length - bands.length - 1))];
      fills.push({ high: series.length - 1, low: series.length, color: "accent", share });
      entries.push({ label: `${level} %`, color: "accent", kind: "band", share: share + 0.12 });
    });
    if (view.ribbon) {
      series.push({ label: "expected high" }, { label: "expected low" });
      fills.push({ high: series.length - 1, low: series.length, color: "edge", share: 0.22 });
      entries.push({ label: view.ribbon.label, color: "edge", kind: "band", share: 0.35 });
    }
    if (view.ribbon?.median) {
      series.push({ label: "forecast", color: "accent", width: 2.2 });
      entries.push({ label: "forecast", color: "accent", kind: "line" });
    }
    if (view.ahead) {
      series.push({ label: "naive", color: "naive", dash: [6, 5], width: 1.6 }, { label: "forecast", color: "accent", width: 2.2 });
    }
    series.push({ label: "observed", color: "ink", width: 1.6 });
    if (view.anomalies) {
      series.push({ label: "surprising", color: "warm", points: 10 });
      entries.push({ label: "surprising", color: "warm", kind: "ring" });
    }
    this.entries = entries;
    fillLegend(this.legend, entries);
    this.chart.shape({
      series,
      bands: fills,
      time: view.time,
      label: `${view.title}: history and forecast`,
      formatY: tick,
      axisWidth: 62,
    });
  }

  when(index) {
    const { shown } = this;
    const x = index < shown.x.length ? shown.x[index] : shown.ahead.x[index - shown.x.length];
    return shown.time ? moment(x, shown.withTime) : `step ${x + 1}`;
  }

  _read(index) {
    const { shown } = this;
    if (index === null || !shown || index >= shown.x.length + (shown.ahead?.x.length ?? 0)) {
      this.readout.replaceChildren();
      return;
    }
    const parts = [make("b", {}, this.when(index))];
    const say = (label, text) => parts.push(` · ${label} `, make("b", {}, text));
    if (index < shown.x.length) {
      say("observed", shown.observed[index] === null ? "missing" : short(shown.observed[index]));
      if (shown.ribbon && shown.ribbon.low[index] !== null) {
        if (shown.ribbon.median) say("forecast", short(shown.ribbon.median[index]));
        say("expected", `${short(shown.ribbon.low[index])} to ${short(shown.ribbon.high[index])}`);
        if (shown.scores && shown.scores[index] !== null) say("score", shown.scores[index].toFixed(1));
      }
    } else {
      const at = index - shown.x.length;
      say("forecast", short(shown.ahead.mean[at]));
      for (const { level, low, high } of intervals(shown.ahead.quantiles).reverse()) {
        say(`${level} %`, `${short(low[at])} to ${short(high[at])}`);
      }
      say("naive", short(shown.ahead.naive[at]));
    }
    fill(this.readout, ...parts);
  }

  png() {
    const legend = this.entries.map(({ label, color, kind, share }) => ({
      label,
      swatch: kind === "band" ? `color-mix(in srgb, var(--${color}) ${share * 100}%, transparent)` : `var(--${color})`,
    }));
    return this.chart.png(this.shown.title, legend);
  }
}
