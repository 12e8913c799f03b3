// The panel "Caption": a picture, the words as they come, and where in the picture each word looked.

import { ask, events } from "../../js/api.js";
import { byId, dropZone, fill, fillTable, make, number } from "../../js/dom.js";
import { duration, percent } from "../../js/format.js";
import { offerModels, referenceOf } from "../../js/model_choice.js";
import { hush, tell } from "../../js/notice.js";

const LONGEST = 640; // pixels of a side that are drawn
const ALTERNATIVES = 3;
const DARKEST = 0.8;

async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** The picture, darkened but for where a word looked. */
class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.image = null;
  }

  async take(file) {
    this.image = null;
    this.image = await createImageBitmap(file).catch(() => null); // the server says what is wrong with it
    const { width, height } = this.image ?? { width: 1, height: 1 };
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    Object.assign(this.canvas, { width: Math.max(1, Math.round(scale * width)), height: Math.max(1, Math.round(scale * height)) });
    this.draw();
  }

  draw(grid = null, weights = null) {
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (this.image) context.drawImage(this.image, 0, 0, width, height);
    if (!weights) return;
    const [lines, columns] = grid;
    const shade = make("canvas", { width: columns, height: lines });
    const pixels = new ImageData(columns, lines);
    const most = Math.max(...weights);
    weights.forEach((weight, at) => { pixels.data[4 * at + 3] = Math.round(255 * DARKEST * (1 - weight / most)); });
    shade.getContext("2d").putImageData(pixels, 0, 0);
    context.drawImage(shade, 0, 0, width, height);
  }
}

/** A place of the grid in words. */
function placed(at, [lines, columns]) {
  const [line, column] = [Math.floor(at / columns), at % columns];
  const third = (value, size, names) => names[Math.min(2, Math.floor((3 * value) / size))];
  return `${third(line, lines, ["top", "middle", "bottom"])} ${third(column, columns, ["left", "centre", "right"])}`;
}

export function panel() {
  const form = byId("caption-form");
  const error = byId("caption-error");
  const result = byId("caption-result");
  const picture = new Picture(byId("caption-picture"));
  let reference = null;
  let file = null;
  let asked = 0;
  let started = null; // whether the models are known

  function clear() {
    hush(error, form);
    fill(byId("caption-others"));
    fill(byId("caption-words"));
    fill(byId("caption-table"));
    byId("caption-readout").textContent = "";
    byId("caption-meta").textContent = "";
  }

  async function run() {
    const turn = ++asked;
    clear();
    result.textContent = "";
    try {
      await started;
      if (!file || !reference) {
        result.textContent = "No picture yet";
        return;
      }
      const images = [await base64(file)];
      for await (const frame of events("/caption", { images, model: reference, stream: true })) {
        if (turn !== asked) return;
        if (frame.type === "token") result.textContent += frame.text;
      }
      const beams = number(byId("caption-beams"));
      const began = performance.now();
      const n = Math.max(1, Math.min(ALTERNATIVES, beams ?? ALTERNATIVES));
      const answer = await ask("/caption", { json: { images, model: reference, beams, n, attention: true } });
      if (turn !== asked) return;
      const [found] = answer.captions;
      byId("caption-meta").textContent =
        `Score ${found.score.toFixed(2)}; with ${beams ?? 4} beams in ${duration((performance.now() - began) / 1000)}.`;
      show(found);
    } catch (problem) {
      if (turn === asked && problem.status !== 401) tell(error, problem, { form, again: run });
    }
  }

  function show({ text, alternatives, attention: { grid, tokens, weights } }) {
    result.textContent = text;
    fill(byId("caption-others"), ...(alternatives ?? []).map((other) => make("li", {}, `${other.text} (${other.score.toFixed(2)})`)));
    const look = (at) => {
      picture.draw(grid, at === null ? null : weights[at]);
      const best = at === null ? 0 : weights[at].indexOf(Math.max(...weights[at]));
      byId("caption-readout").textContent = at === null ? "" : `“${tokens[at]}” looked most at the ${placed(best, grid)}, ${percent(weights[at][best])} of its attention`;
    };
    fill(byId("caption-words"), ...tokens.map((token, at) => make("button", {
      type: "button", class: "caption-word", onfocus: () => look(at), onmouseenter: () => look(at), onmouseleave: () => look(null), onblur: () => look(null),
    }, token)));
    const places = weights[0]?.map((_, at) => `${Math.floor(at / grid[1]) + 1}, ${(at % grid[1]) + 1}`) ?? [];
    fillTable(byId("caption-table"), ["line, column", ...tokens], places.map((place, at) => [place, ...weights.map((row) => row[at].toFixed(3))]));
  }

  async function take(chosen) {
    file = chosen;
    asked += 1; // what was asked of the picture before is of no use
    clear();
    await picture.take(chosen);
    await run();
  }

  const start = () => (started = offerModels("caption", {
    select: byId("caption-model"), error, form, none: "No model that captions is served here", take: (model) => { reference = referenceOf(model); },
  }));
  dropZone(byId("caption-drop"), byId("caption-file"), take);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  start();
  return { keyChanged: start };
}
