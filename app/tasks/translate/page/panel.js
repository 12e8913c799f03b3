// The panel "Translate": a text, its translation, and lines between the words that belong together.

import { ask } from "../../js/api.js";
import { byId, fill, fillSelect, fillTable, make, makeSvg, number } from "../../js/dom.js";
import { duration, percent } from "../../js/format.js";
import { offerModels, referenceOf } from "../../js/model_choice.js";
import { hush, tell } from "../../js/notice.js";

const SAMPLES = {
  en: ["A man in a red jacket rides a bicycle.", "Two dogs play in the snow.\nA little girl watches them."],
  de: ["Ein kleines Mädchen klettert in ein Spielhaus.", "Eine Frau liest ein Buch auf einer Bank im Park."],
};
const LEAST = 0.04; // a line for a smaller weight would only be in the way
const ALTERNATIVES = 3;

/** Places of a text in characters, as people and the server count them, to those of a JavaScript string. */
function cut(text, [start, end]) {
  return [...text].slice(start, end).join("");
}

export function panel() {
  const form = byId("translate-form");
  const box = byId("translate-text");
  const error = byId("translate-error");
  const direction = byId("translate-direction");
  let reference = null;
  let asked = 0;
  let shown = null;

  async function run() {
    const turn = ++asked;
    hush(error, form);
    const [source, target] = direction.value.split("-");
    const beams = number(byId("translate-beams"));
    const request = {
      text: [box.value], source, target, model: reference, beams, n: Math.max(1, Math.min(ALTERNATIVES, beams ?? 1)), alignments: true,
    };
    const prefix = byId("translate-prefix").value;
    if (prefix) request.prefix = prefix;
    const began = performance.now();
    try {
      const answer = await ask("/translate", { json: request });
      if (turn !== asked) return;
      byId("translate-meta").textContent =
        `${answer.usage.completion_tokens} tokens in ${duration((performance.now() - began) / 1000)}, score ${answer.translations[0].score.toFixed(2)}.`;
      show(box.value, answer.translations[0]);
    } catch (problem) {
      if (turn === asked && problem.status !== 401) tell(error, problem, { form, again: run });
    }
  }

  function show(text, found) {
    byId("translate-result").textContent = found.text || "Nothing to translate";
    fill(byId("translate-others"), ...(found.alternatives ?? []).map((other) => make("li", {}, `${other.text} (${other.score.toFixed(2)})`)));
    if (found.warning) byId("translate-meta").textContent += ` ${found.warning}.`;
    shown = found.alignment?.target.length ? { text, found } : null;
    draw();
  }

  function draw() {
    const holder = byId("translate-alignment");
    byId("translate-readout").textContent = "";
    if (!shown) {
      fill(holder);
      fill(byId("translate-table"));
      return;
    }
    const { text, found: { text: made, alignment: { source, target, weights } } } = shown;
    const sources = source.map((place) => cut(text, place).trim() || "∎");
    const targets = target.map((place) => cut(made, place).trim() || "·");
    const above = sources.map((word) => make("span", { class: "aligned-token" }, word));
    const below = targets.map((word, at) => make("button", {
      type: "button", class: "aligned-token", onfocus: () => mark(at), onmouseenter: () => mark(at), onmouseleave: () => mark(null), onblur: () => mark(null),
    }, word));
    const lines = makeSvg("svg", { "aria-hidden": "true" });
    fill(holder, make("div", { class: "aligned-line" }, ...above), make("div", { class: "aligned-line" }, ...below), lines);
    fillTable(byId("translate-table"), ["", ...sources], targets.map((word, row) => [word, ...weights[row].map((weight) => weight.toFixed(2))]));

    function connect(only) {
      const origin = holder.getBoundingClientRect();
      const middle = (element) => {
        const area = element.getBoundingClientRect();
        return { x: area.left - origin.left + area.width / 2, top: area.top - origin.top, bottom: area.bottom - origin.top };
      };
      const places = above.map(middle);
      lines.replaceChildren(...below.flatMap((element, row) => {
        if (only !== null && only !== row) return [];
        const to = middle(element);
        return weights[row].flatMap((weight, column) => (weight < LEAST ? [] : [makeSvg("line", {
          x1: places[column].x, y1: places[column].bottom, x2: to.x, y2: to.top, "stroke-width": (4 * weight).toFixed(2), "stroke-opacity": (0.15 + 0.85 * weight).toFixed(2),
        })]));
      }));
    }

    function mark(row) {
      above.forEach((element, column) => element.classList.toggle("strong", row !== null && weights[row][column] >= 0.2));
      const best = row === null ? [] : weights[row].map((weight, column) => [weight, column]).sort((one, other) => other[0] - one[0]).slice(0, 3);
      byId("translate-readout").textContent = row === null ? "" : `“${targets[row]}” from ${best.map(([weight, column]) => `“${sources[column]}” ${percent(weight)}`).join(", ")}`;
      connect(row);
    }
    connect(null);
  }

  function takeModel(model) {
    reference = referenceOf(model);
    fillSelect(direction, model.inputs.directions.map((value) => ({ value, label: value.replace("-", " → ") })), model.inputs.directions[0]);
    offerSamples();
  }

  function offerSamples() {
    const known = SAMPLES[direction.value.split("-")[0]] ?? [];
    fill(byId("translate-samples"), ...known.map((text, at) => make("button", {
      type: "button", onclick: () => { box.value = text; run(); },
    }, `Example ${at + 1}`)));
  }

  const start = () => offerModels("translate", { select: byId("translate-model"), error, form, none: "No translator is served here", take: takeModel });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  direction.addEventListener("change", () => {
    offerSamples();
    box.value = SAMPLES[direction.value.split("-")[0]]?.[0] ?? "";
  });
  new ResizeObserver(draw).observe(byId("translate-result"));
  start();
  return { show: draw, keyChanged: start };
}
