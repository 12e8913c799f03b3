// Numbers as colours: from one colour through the ground to another.

import { color, make } from "./dom.js";

/** The three colours of the present theme as [r, g, b], 0 to 255. */
function palette() {
  return ["heat-low", "heat-mid", "heat-high"].map((name) => {
    const hex = color(name).replace("#", "");
    return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
  });
}

/** 256 colours packed for a Uint32 view of image data, for values from -1 to 1. */
export function ramp() {
  const [low, middle, high] = palette();
  return Uint32Array.from({ length: 256 }, (_, at) => {
    const value = (at - 127.5) / 127.5;
    const to = value < 0 ? low : high;
    const share = Math.abs(value) ** 0.8; // brings out small values a little
    const [r, g, b] = middle.map((from, part) => Math.round(from + (to[part] - from) * share));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
}

/** Values between -1 and 1: h of a cell lies there already, c and other fields are squeezed. */
export const squeeze = (name) => (/\.h$/.test(name) ? (value) => value : (value) => value / (1 + Math.abs(value)));

/** A legend of the colours: a strip between two words. */
export function fillScale(element, low, high) {
  const canvas = make("canvas", { width: 128, height: 1 });
  element.replaceChildren(low, canvas, high);
  const draw = () => {
    const context = canvas.getContext("2d");
    const image = context.createImageData(128, 1);
    const colours = ramp();
    new Uint32Array(image.data.buffer).set(Array.from({ length: 128 }, (_, at) => colours[at * 2]));
    context.putImageData(image, 0, 0);
  };
  draw();
  document.addEventListener("theme", draw);
}
