// A chart on a canvas by uPlot, with what a canvas lacks: a legend and a readout in words, the
// keyboard, the page's colours, and a way out where the library is not installed.

import { color, fill, make, makeSvg } from "./dom.js";
import { timeTick } from "./format.js";

const ZOOM = 0.6;
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** Whether the extra that brings the library is installed. */
export const chartsInstalled = () => typeof window.uPlot === "function";

const alpha = (css, share) => `color-mix(in srgb, ${css} ${Math.round(share * 100)}%, transparent)`;

/** Canvas understands only colours that are resolved. */
function resolved(css) {
  const probe = make("span", { hidden: true });
  probe.style.color = css;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/**
 * One chart.
 *
 * @param {HTMLElement} host - where it is drawn; its size is the chart's
 * @param {object} spec
 *   label: what it shows, for those who do not see it
 *   time: whether x are seconds since the epoch, or plain numbers
 *   series: [{label, color, width, dash, points, fill, hidden}], hidden from the legend
 *   bands: [{high, low, color, share}], indexes of series (1 is the first)
 *   range: optional [low, high] of y
 *   zoom: false turns it off
 *   wholeX: whether x are counts
 *   rangeX: optional [low, high] of x, whatever the data
 *   stepsX: distances that ticks of x may have
 *   formatX, formatY: for the axes
 *   onCursor(index|null): the column under the cursor
 */
export class Chart {
  constructor(host, spec) {
    this.host = host;
    this.spec = spec;
    this.data = null;
    this.plot = null;
    this._window = null;
    this._cursor = null;
    this._name();
    if (!chartsInstalled()) {
      host.classList.add("missing");
      fill(host, missing());
      return;
    }
    if (spec.zoom !== false) {
      host.tabIndex = 0;
      host.addEventListener("keydown", (event) => this._key(event));
    }
    new ResizeObserver(() => this._fit()).observe(host);
    document.addEventListener("theme", () => this.data && this._build());
  }

  /** Draw columns: x, then one array a series. */
  set(data, { keepWindow = false } = {}) {
    this.data = data;
    if (!chartsInstalled()) return;
    if (!this.plot || this.plot.series.length !== data.length) {
      this._build();
      return;
    }
    const before = keepWindow ? this._window : null;
    this.plot.setData(data, before === null);
    if (before !== null) this.plot.setScale("x", before);
    else this._window = null;
  }

  /** Take another spec, such as other series. */
  shape(spec) {
    this.spec = { ...this.spec, ...spec };
    this._name();
    this.plot?.destroy();
    this.plot = null;
  }

  /** Show a part of x. */
  view(min, max) {
    this._window = { min, max };
    this.plot?.setScale("x", this._window);
  }

  zoom(factor) {
    if (!this.plot) return;
    const { min, max } = this.plot.scales.x;
    const middle = this._cursor === null ? (min + max) / 2 : this.data[0][this._cursor];
    const half = ((max - min) * factor) / 2;
    const [first, last] = [this.data[0][0], this.data[0].at(-1)];
    const low = Math.max(first, middle - half);
    const high = Math.min(last, middle + half);
    if (high > low) this._to(low <= first && high >= last ? null : { min: low, max: high });
  }

  zoomIn = () => this.zoom(ZOOM);
  zoomOut = () => this.zoom(1 / ZOOM);
  zoomAll = () => this.plot && this._to(null);

  /** The chart as a PNG, with its title and legend. */
  async png(title, legend) {
    const canvas = this.plot.ctx.canvas;
    const scale = canvas.width / this.host.clientWidth;
    const head = Math.round(62 * scale);
    const out = make("canvas", { width: canvas.width, height: canvas.height + head });
    const context = out.getContext("2d");
    context.fillStyle = color("surface");
    context.fillRect(0, 0, out.width, out.height);
    context.drawImage(canvas, 0, head);
    context.fillStyle = color("ink");
    context.font = `600 ${16 * scale}px ${color("sans")}`;
    context.fillText(title, 14 * scale, 26 * scale);
    context.font = `${12.5 * scale}px ${color("sans")}`;
    let x = 14 * scale;
    for (const { label, swatch } of legend) {
      context.fillStyle = resolved(swatch);
      context.fillRect(x, 40 * scale, 16 * scale, 9 * scale);
      context.fillStyle = color("soft");
      context.fillText(label, x + 21 * scale, 49 * scale);
      x += 35 * scale + context.measureText(label).width;
    }
    return new Promise((resolve) => out.toBlob(resolve, "image/png"));
  }

  _name() {
    const { host, spec } = this;
    const keys = chartsInstalled() && spec.zoom !== false;
    host.setAttribute("role", keys ? "application" : chartsInstalled() ? "img" : "note");
    if (keys) host.setAttribute("aria-roledescription", "chart");
    const hint = keys ? ". Left and right arrows read values, plus and minus zoom, 0 shows all." : "";
    host.setAttribute("aria-label", `${spec.label}${hint}`);
  }

  _to(window) {
    this._window = window;
    const all = { min: this.data[0][0], max: this.data[0].at(-1) };
    this.plot.setScale("x", window || all);
  }

  _fit() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (this.plot && width && height) this.plot.setSize({ width, height });
    else if (this.data && width) this._build();
  }

  _build() {
    this.plot?.destroy();
    this.plot = null;
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!width || !height) return; // hidden; the observer comes back when it is shown
    this.plot = new window.uPlot(this._options(width, height), this.data, this.host);
    if (this._window) this.plot.setScale("x", this._window);
    this.plot.root.setAttribute("aria-hidden", "true");
  }

  _options(width, height) {
    const { spec } = this;
    const ink = resolved(color("soft"));
    const grid = { stroke: resolved(color("line")), width: 1 };
    const axis = (more) => ({
      stroke: ink, grid, ticks: { ...grid, size: 5 }, font: `12px ${color("sans")}`, ...more,
    });
    return {
      width,
      height,
      legend: { show: false },
      padding: [10, 14, 0, 0],
      cursor: {
        y: false,
        drag: { x: spec.zoom !== false, y: false, setScale: spec.zoom !== false },
        points: spec.zoom === false ? { show: false } : { size: 7 },
      },
      tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      scales: { x: { time: Boolean(spec.time), ...(spec.rangeX ? { range: () => spec.rangeX } : {}) }, y: spec.range ? { range: spec.range } : { range: padded } },
      axes: [
        axis({
          space: 70, size: 30, ...(spec.wholeX ? { incrs: WHOLE } : {}), ...(spec.stepsX ? { incrs: spec.stepsX } : {}),
          ...(spec.time ? { values: (_, all, __, ___, step) => all.map((one) => timeTick(one, step)) } : {}),
          ...(spec.formatX ? { values: (_, all) => all.map(spec.formatX) } : {}),
        }),
        axis({
          size: spec.axisWidth || 56, space: 36,
          ...(spec.formatY ? { values: (_, all) => all.map(spec.formatY) } : {}),
        }),
      ],
      series: [{}, ...spec.series.map(asSeries)],
      bands: (spec.bands || []).map(({ high, low, color: name, share }) => ({
        series: [high, low], fill: resolved(alpha(color(name), share)),
      })),
      hooks: {
        setCursor: [(plot) => this._moved(plot.cursor.idx)],
        setScale: [(plot, name) => this._scaled(plot, name)],
      },
    };
  }

  _scaled(plot, name) {
    if (name !== "x" || !this.data) return;
    const { min, max } = plot.scales.x;
    const all = min <= this.data[0][0] && max >= this.data[0].at(-1);
    this._window = all ? null : { min, max };
    this.host.dataset.shown = all ? "all" : `${min} ${max}`;
  }

  _moved(index) {
    this._cursor = index ?? null;
    this.spec.onCursor?.(this._cursor);
  }

  _key(event) {
    if (!this.plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const size = this.data[0].length;
    const step = event.shiftKey ? 10 : 1;
    const at = this._cursor ?? (event.key === "ArrowLeft" ? size : -1);
    const moves = {
      ArrowLeft: () => this._place(Math.max(0, at - step)),
      ArrowRight: () => this._place(Math.min(size - 1, at + step)),
      Home: () => this._place(0),
      End: () => this._place(size - 1),
      "+": this.zoomIn,
      "=": this.zoomIn,
      "-": this.zoomOut,
      0: this.zoomAll,
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  _place(index) {
    const left = this.plot.valToPos(this.data[0][index], "x");
    this.plot.setCursor({ left, top: this.plot.over?.clientHeight / 2 || 10 });
    if (this._cursor !== index) this._moved(index);
  }
}

function padded(_, low, high) {
  if (low === null || high === null) return [0, 1];
  if (low === high) return [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  const room = (high - low) * 0.06;
  const bottom = low >= 0 && low - room < 0 ? 0 : low - room;
  return [bottom, high + room];
}

function asSeries({ label, color: name, width = 1.8, dash, points, fill: share }) {
  const stroke = name ? resolved(color(name)) : "transparent";
  if (points) {
    return {
      label, stroke, width: 0, paths: () => null,
      points: { show: true, size: points, width: 2.5, stroke, fill: resolved(color("surface")) },
    };
  }
  return {
    label, stroke, width: name ? width : 0, dash, points: { show: false },
    ...(share ? { fill: resolved(alpha(color(name), share)) } : {}),
  };
}

function missing() {
  return make("p", { class: "chart-missing" },
    "Charts are not installed on this server; the values are in the tables. Whoever runs it can add them with ",
    make("code", {}, "pip install '.[page]'"), " in its folder.");
}

/** Fill a legend: [{label, color, kind}], kind being line, dash, band or ring. */
export function fillLegend(element, entries) {
  fill(element, ...entries.map(({ label, color: name, kind, share }) => make("span", {}, swatch(name, kind, share), label)));
}

function swatch(name, kind, share = 0.3) {
  const box = makeSvg("svg", { width: 20, height: 12, "aria-hidden": "true" });
  const stroke = `var(--${name})`;
  if (kind === "band") {
    const band = makeSvg("rect", { x: 0, y: 1, width: 20, height: 10, rx: 2 });
    band.style.fill = stroke;
    band.style.fillOpacity = share;
    box.append(band);
  } else if (kind === "ring") {
    const ring = makeSvg("circle", { cx: 10, cy: 6, r: 4, fill: "none", "stroke-width": 2.5 });
    ring.style.stroke = stroke;
    box.append(ring);
  } else {
    const line = makeSvg("line", { x1: 0, y1: 6, x2: 20, y2: 6, "stroke-width": 2.4, "stroke-dasharray": kind === "dash" ? "5 4" : "none" });
    line.style.stroke = stroke;
    box.append(line);
  }
  return box;
}
