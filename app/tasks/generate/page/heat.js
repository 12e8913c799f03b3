// The state as a picture: a column a token, a band a field of the row, a line a unit.

import { fill, make } from "../../js/dom.js";
import { visible } from "../../js/format.js";
import { ramp, squeeze } from "../../js/shades.js";

const CELL = 6; // CSS pixels of one token
const ROWS = 64;

/** Which unit a row of the picture shows: all of them, or evenly spaced ones of many. */
const unitOf = (row, units) => Math.floor((row * units) / Math.min(ROWS, units));

/** What the rows of a column show, each between -1 and 1. */
function sampled(name, values) {
  const bounded = squeeze(name);
  return Float32Array.from({ length: Math.min(ROWS, values.length) }, (_, row) => bounded(values[unitOf(row, values.length)]));
}

export class Heat {
  /**
   * @param {HTMLElement} host
   * @param {object} told - hover(index|null, words), choose(index)
   */
  constructor(host, { hover, choose }) {
    this.host = host;
    this.hover = hover;
    this.choose = choose;
    this.bands = new Map();
    this.tokens = [];
    this.caret = null;
    this.colours = ramp();
    this._cache = new WeakMap();
    document.addEventListener("theme", () => {
      this.colours = ramp();
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(host);
  }

  /** Show these fields: [{name, shape}]. */
  layout(fields) {
    this.bands.clear();
    fill(this.host, ...fields.map(({ name, shape }) => {
      const units = shape.reduce((a, b) => a * b, 1);
      const canvas = make("canvas", { role: "img", "aria-label": `${name}, ${units} units, one column a token` });
      this.bands.set(name, { canvas, units });
      canvas.addEventListener("pointermove", (event) => this._point(event, name));
      canvas.addEventListener("pointerleave", () => this.hover(null, null));
      canvas.addEventListener("click", (event) => {
        const index = this._index(event, canvas);
        if (index !== null) this.choose(index);
      });
      return make("div", { class: "heat-band" },
        make("div", { class: "heat-name" }, name, make("small", {}, units > ROWS ? `${ROWS} of ${units} units` : `${units} units`)), canvas);
    }));
    this.draw();
  }

  show(tokens, caret = null) {
    this.tokens = tokens;
    this.caret = caret;
    this.draw();
  }

  /** The first token in the picture: the last ones are shown, and the caret always. */
  _first(columns) {
    const last = Math.max(0, this.tokens.length - columns);
    return this.caret === null ? last : Math.min(last, Math.max(0, this.caret - Math.floor(columns / 2)));
  }

  draw() {
    for (const [name, band] of this.bands) {
      const { canvas } = band;
      const width = canvas.clientWidth;
      if (!width) continue;
      const columns = Math.max(1, Math.floor(width / CELL));
      const rows = Math.min(ROWS, band.units);
      if (canvas.width !== columns) canvas.width = columns;
      if (canvas.height !== rows) canvas.height = rows;
      const context = canvas.getContext("2d");
      const image = context.createImageData(columns, rows);
      const pixels = new Uint32Array(image.data.buffer);
      const first = this._first(columns);
      for (let column = 0; column < columns && first + column < this.tokens.length; column += 1) {
        const values = this._column(name, this.tokens[first + column]);
        if (!values) continue;
        const dim = this.caret !== null && first + column > this.caret ? 0x66000000 : 0xff000000;
        for (let row = 0; row < rows; row += 1) {
          const colour = this.colours[Math.max(0, Math.min(255, Math.round(values[row] * 127.5 + 127.5)))];
          pixels[row * columns + column] = ((colour & 0x00ffffff) | dim) >>> 0;
        }
      }
      context.putImageData(image, 0, 0);
    }
  }

  _column(name, token) {
    const values = token.rows[name];
    if (!values) return null;
    if (!this._cache.has(values)) this._cache.set(values, sampled(name, values));
    return this._cache.get(values);
  }

  _index(event, canvas) {
    const column = Math.floor((event.offsetX / canvas.clientWidth) * canvas.width);
    const index = this._first(canvas.width) + column;
    return index < this.tokens.length ? index : null;
  }

  _point(event, name) {
    const { canvas, units } = this.bands.get(name);
    const index = this._index(event, canvas);
    const values = index === null ? null : this.tokens[index].rows[name];
    if (!values) {
      this.hover(null, null);
      return;
    }
    const at = Math.max(0, Math.min(canvas.height - 1, Math.floor((event.offsetY / canvas.clientHeight) * canvas.height)));
    const unit = unitOf(at, units);
    this.hover(index, `${name}, unit ${unit}, after ${visible(this.tokens[index].text)}: ${values[unit].toFixed(3)}`);
  }
}
