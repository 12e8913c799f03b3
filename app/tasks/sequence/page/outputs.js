// What the network said after each step: the last verdict, a chart, and a table.

import { Chart, fillLegend } from "../../js/chart.js";
import { byId, fill, fillTable, make } from "../../js/dom.js";
import { percent, short, tick } from "../../js/format.js";

const COLORS = ["accent", "warm", "good", "naive", "ink"];
const MOST_SHARES = 6;
const MOST_TABLE = 1000;

/** The numbers of one output after one step, by name. */
function numbers(spec, value) {
  if (spec.labels?.length) return value.scores;
  if (Array.isArray(value)) return Object.fromEntries(value.map((one, at) => [`${spec.name} ${at + 1}`, one]));
  return typeof value === "object" ? value : { [spec.name]: value };
}

export class OutputView {
  constructor() {
    this.specs = [];
    this.steps = [];
    this.names = null; // what is said at a step besides its number
    this.chart = new Chart(byId("sequence-chart"), {
      label: "Outputs after each step", series: [], wholeX: true, axisWidth: 62, onCursor: (index) => this._read(index),
    });
    byId("sequence-output").addEventListener("change", () => this.draw());
  }

  /** Take the outputs of another model, and forget what was read. */
  take(specs) {
    this.specs = specs;
    const choice = byId("sequence-output");
    fill(choice, ...specs.map(({ name }) => make("option", { value: name }, name)));
    byId("sequence-output-field").hidden = specs.length < 2;
    this.clear();
  }

  clear() {
    this.steps = [];
    this.names = null;
    this._signature = null;
    fill(byId("sequence-last"), make("p", { class: "empty" }, "Nothing read yet"));
    byId("sequence-title").textContent = "After the last step";
    byId("sequence-values").hidden = true;
  }

  /** Show steps, whose outputs are by name. */
  show(steps, names = null) {
    this.steps = steps;
    this.names = names;
    this.draw();
  }

  draw() {
    if (!this.steps.length) return;
    const spec = this.specs[Math.max(0, byId("sequence-output").selectedIndex)];
    byId("sequence-title").textContent = `After step ${this.steps.length}`;
    fill(byId("sequence-last"), ...this.specs.map((one) => this._last(one)));
    const all = this.steps.map((step) => numbers(spec, step[spec.name]));
    const lines = this._lines(spec, all);
    this._shape(spec, lines);
    this.chart.set([all.map((_, at) => at + 1), ...lines.map((name) => all.map((one) => one[name]))]);
    this.shown = { spec, all, lines };
    const columns = Object.keys(all[0]);
    const rows = all.slice(-MOST_TABLE).map((one, at) => [this._step(Math.max(0, all.length - MOST_TABLE) + at), ...columns.map((name) => short(one[name]))]);
    fillTable(byId("sequence-table"), ["step", ...columns], rows);
    byId("sequence-values").hidden = false;
  }

  /** Of many labels those that were likely at some step. */
  _lines({ labels = [] }, all) {
    const names = Object.keys(all[0]);
    if (labels.length === 2) return [labels[1]];
    const most = (name) => all.reduce((found, one) => Math.max(found, Math.abs(one[name])), 0);
    const ranked = labels.length ? names.map((name) => [name, most(name)]).sort((a, b) => b[1] - a[1]).map(([name]) => name) : names;
    return ranked.slice(0, COLORS.length);
  }

  _shape(spec, lines) {
    const signature = JSON.stringify([spec.name, lines]);
    if (signature === this._signature) return;
    this._signature = signature;
    const series = lines.map((label, at) => ({ label, color: COLORS[at], width: 2 }));
    const chance = Boolean(spec.labels?.length);
    this.chart.shape({ label: `${spec.name} after each step`, series, range: chance ? [0, 1] : undefined, formatY: chance ? String : tick });
    fillLegend(byId("sequence-legend"), series.map((one) => ({ ...one, label: spec.unit ? `${one.label} (${spec.unit})` : one.label, kind: "line" })));
  }

  _last(spec) {
    const value = this.steps.at(-1)[spec.name];
    if (!spec.labels?.length) {
      const unit = spec.unit ? ` ${spec.unit}` : "";
      const parts = Object.entries(numbers(spec, value)).map(([name, one]) => make("p", { class: "said-head" }, make("small", {}, name), `${short(one)}${unit}`));
      return make("div", {}, ...parts.slice(0, MOST_SHARES));
    }
    const shares = Object.entries(value.scores).sort((a, b) => b[1] - a[1]).slice(0, MOST_SHARES);
    return make("div", {}, make("p", { class: "said-head" }, make("span", { "data-output": spec.name }, value.label), make("small", {}, spec.name)),
      make("div", { class: "shares" }, ...shares.map(([label, share]) => {
        const bar = make("div", { class: "share-fill" });
        bar.style.width = `${100 * share}%`;
        return make("div", { class: "share" }, make("span", {}, label), make("div", { class: "share-track" }, bar), make("span", {}, percent(share)));
      })));
  }

  _step(at) {
    const name = this.names?.[at];
    return name === undefined ? String(at + 1) : `${at + 1} “${name}”`;
  }

  _read(index) {
    const one = index === null || !this.shown ? undefined : this.shown.all[index];
    const parts = one ? this.shown.lines.flatMap((name) => [` · ${name} `, make("b", {}, short(one[name]))]) : [];
    fill(byId("sequence-readout"), ...(one ? [make("b", {}, `step ${this._step(index)}`), ...parts] : []));
  }
}
