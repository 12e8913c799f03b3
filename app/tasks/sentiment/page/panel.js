// The panel "Sentiment": a session follows what is typed, word by word.

import { SessionLine, ask } from "../../js/api.js";
import { Chart } from "../../js/chart.js";
import { byId, calm, fill, fillTable, make, pause } from "../../js/dom.js";
import { duration, percent } from "../../js/format.js";
import { offerModels, referenceOf } from "../../js/model_choice.js";
import { hush, tell } from "../../js/notice.js";
import { closeSession, openSession } from "../../js/own_sessions.js";
import { fillScale } from "../../js/shades.js";

const SAMPLES = [
  ["It turns", "The plot is thin and the jokes are tired, yet the acting is superb, moving and a joy to watch."],
  ["Warm", "A warm, funny and utterly charming film."],
  ["Cold", "Two hours of my life that I would like to have back. Dull, loud and far too long."],
];
const WORDS = /[\p{L}\p{N}_]+(?:['’][\p{L}]+)*|[^\s\p{L}\p{N}_]/gu;
const MAX_WORDS = 400;
// A word at the end of the text may still grow; after this long it is taken as it stands.
const SETTLE_MS = 350;
const TTL_S = 900;
const POLES = ["negative", "positive"];
const PALETTE = ["warm", "accent", "good", "naive", "ink"];

const wordsOf = (text) =>
  [...text.matchAll(WORDS)].map((found) => ({ text: found[0], start: found.index, end: found.index + found[0].length }));

/** Of the line under a word: grey where the verdict is open, at a share of 0.5. */
function verdictColour(share) {
  const strength = Math.min(1, Math.abs(share - 0.5) * 2);
  return `color-mix(in srgb, var(${share < 0.5 ? "--heat-low" : "--heat-high"}) ${Math.round(strength * 100)}%, var(--line))`;
}

/** The two ends of what labels stand for: of two they are the labels, of more those with these names. */
function polesOf(labels) {
  if (labels.length === 2) return labels;
  return POLES.every((label) => labels.includes(label)) ? POLES : null;
}

/** A session that has read some words, and can be brought to read others. */
class Reader {
  constructor(model) {
    this.model = model;
    this.line = null;
    this.id = null;
    this.words = [];
    this.step = 0;
    this.lastMs = null;
  }

  /** Read these words and no others; what begins alike is not read again. The first word opens the session. */
  async follow(words) {
    if (!this.line?.open) {
      this.leave();
      if (!words.length) return this.words;
      await this._open();
    }
    let same = 0;
    while (same < this.words.length && same < words.length && this.words[same].text === words[same].text) same += 1;
    if (same < this.words.length) {
      await ask(`/sessions/${this.id}/rewind`, { json: { to: 0 } });
      this.words = [];
      this.step = 0;
      same = 0;
    }
    const fresh = words.slice(same);
    const began = performance.now();
    const frames = await Promise.all(fresh.map((one) => this.line.feed(one.text)));
    if (fresh.length) this.lastMs = (performance.now() - began) / fresh.length;
    frames.forEach((frame, at) => {
      const last = frame.outputs.at(-1);
      this.words.push({ text: fresh[at].text, scores: last.scores, label: last.label, score: last.score, warning: last.warning });
      this.step = frame.step;
    });
    return this.words;
  }

  async _open() {
    const info = await openSession("sentiment", { model: this.model, task: "sentiment", ttl_seconds: TTL_S });
    this.id = info.id;
    this.line = new SessionLine(info.id);
    await this.line.ready;
  }

  leave() {
    this.line?.close();
    closeSession(this.id);
    this.id = null;
    this.line = null;
    this.words = [];
    this.step = 0;
  }
}

export function panel() {
  const box = byId("mood-text");
  const error = byId("mood-error");
  let reader = null;
  let labels = [];
  let poles = null;
  let settled = null;
  let busy = false;
  let stale = false;
  let typing = 0;
  const chart = new Chart(byId("mood-chart"), {
    label: "Running score", series: [], range: [0, 1], axisWidth: 44, formatY: String, wholeX: true, onCursor: mark,
  });

  /** Words that are certain, and the last one once the typing has paused. */
  function target() {
    const words = wordsOf(box.value).slice(0, MAX_WORDS);
    const last = words.at(-1);
    const open = last && last.end === box.value.length && /[\p{L}\p{N}_]$/u.test(last.text);
    if (open && settled !== box.value) words.pop();
    return words;
  }

  let timer = 0;
  function changed() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      settled = box.value;
      follow();
    }, SETTLE_MS);
    follow();
  }

  /** One at a time; what changes meanwhile is followed after. */
  async function follow() {
    if (busy || !reader) {
      stale = true;
      return;
    }
    busy = true;
    try {
      do {
        stale = false;
        show(await reader.follow(target()));
        hush(error);
      } while (stale);
    } catch (problem) {
      if (problem.status === 404 || problem.status === 410) reader.leave(); // it was closed elsewhere, or has waited too long
      if (problem.status !== 401) tell(error, problem, { again: () => { hush(error); follow(); } });
    } finally {
      busy = false;
    }
  }

  function show(words) {
    const last = words.at(-1);
    const line = byId("mood-label");
    const verdict = last ? last.label : "Nothing read yet";
    if (line.textContent !== verdict) line.textContent = verdict;
    byId("mood-score").textContent = last ? percent(last.score) : "";
    byId("mood-warning").textContent = last?.warning ? `${last.warning[0].toUpperCase()}${last.warning.slice(1)}.` : "";
    byId("mood-meters").querySelectorAll(".meter").forEach((meter) => {
      const share = last ? last.scores[meter.dataset.label] : 0;
      meter.querySelector(".meter-fill").style.width = `${100 * share}%`;
      meter.querySelector(".meter-value").textContent = last ? percent(share) : "–";
    });
    colour(words);
    const positive = labels.length === 2 ? [labels[1]] : labels;
    const columns = [words.map((_, at) => at + 1), ...positive.map((label) => words.map((one) => one.scores[label]))];
    if (words.length) chart.set(columns);
    fillTable(byId("mood-table"), ["word", ...labels], words.map((one) => [one.text, ...labels.map((label) => one.scores[label].toFixed(4))]));
    byId("mood-meta").textContent = words.length
      ? `Session ${reader.id.slice(0, 8)}…, step ${reader.step}. The last word took ${duration(reader.lastMs / 1000)} there and back.`
      : "";
  }

  function colour(words) {
    const text = box.value;
    const places = wordsOf(text);
    const parts = [text.slice(0, places[0]?.start)];
    places.forEach((place, index) => {
      const read = words[index];
      const span = make("span", { class: read ? "word" : "word waiting" }, place.text);
      const between = make("span", {}, text.slice(place.end, places[index + 1]?.start));
      if (read) {
        const share = poles ? (1 + read.scores[poles[1]] - read.scores[poles[0]]) / 2 : 0.5 + read.score / 2;
        for (const one of index + 1 < words.length ? [span, between] : [span]) one.style.borderBottomColor = verdictColour(share);
        span.dataset.score = read.scores[labels.at(-1)];
        span.title = `after “${read.text}”: ${read.label} ${percent(read.score)}`;
      }
      parts.push(span, between);
    });
    fill(byId("mood-words"), ...parts);
  }

  function mark(index) {
    const spans = [...byId("mood-words").querySelectorAll(".word")];
    spans.forEach((span, at) => span.classList.toggle("marked", at === index));
    const read = index === null || !reader ? null : reader.words[index];
    fill(byId("mood-readout"), ...(read ? [`after “${read.text}”: `, make("b", {}, `${read.label} ${percent(read.score)}`)] : []));
  }

  /** Write an example as a person would, so that the score can be seen to move. */
  async function typeOut(text) {
    typing += 1;
    const turn = typing;
    if (calm()) {
      box.value = text;
      changed();
      return;
    }
    for (let end = 1; end <= text.length; end += 1) {
      if (typing !== turn) return;
      box.value = text.slice(0, end);
      changed();
      await pause(22);
    }
  }

  function takeModel(model) {
    reader?.leave();
    reader = new Reader(referenceOf(model));
    labels = model.inputs.labels;
    poles = polesOf(labels);
    const shown = labels.length === 2 ? [labels[1]] : labels;
    byId("mood-scale").hidden = !poles;
    if (poles) fillScale(byId("mood-scale"), ...poles);
    const ofPoles = poles && { [poles[0]]: "heat-low", [poles[1]]: "heat-high" };
    const colourOf = (label, at) => (ofPoles ? ofPoles[label] ?? "ink" : PALETTE[at % PALETTE.length]);
    chart.shape({
      label: `Probability of ${shown.join(", ")} after each word`,
      series: shown.map((label, at) => ({ label, color: labels.length === 2 ? "accent" : colourOf(label, at), width: 2, fill: labels.length === 2 ? 0.12 : 0 })),
    });
    fill(byId("mood-meters"), ...labels.map((label, at) => {
      const bar = make("div", { class: "meter-fill" });
      bar.style.background = `var(--${colourOf(label, at)})`;
      return make("div", { class: "meter", "data-label": label }, make("span", {}, label),
        make("div", { class: "meter-track" }, bar), make("span", { class: "meter-value" }, "–"));
    }));
    follow();
  }

  const start = () => offerModels("sentiment", {
    select: byId("mood-model"), error, none: "No sentiment model is served here", sessions: true, take: takeModel,
  });

  fill(byId("mood-samples"), ...SAMPLES.map(([name, text]) => make("button", { type: "button", onclick: () => typeOut(text) }, name)));
  box.addEventListener("input", () => {
    typing += 1;
    changed();
  });
  start();
  return { keyChanged: start };
}
