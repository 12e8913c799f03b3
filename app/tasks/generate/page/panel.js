// The panel "Generate": text as it is drawn, the state behind it, and going back and on from it.

import { Branch } from "./branch.js";
import { byId, fill, make, nextFrame, number } from "../../js/dom.js";
import { duration, percent, visible } from "../../js/format.js";
import { Heat } from "./heat.js";
import { offerModels, referenceOf } from "../../js/model_choice.js";
import { hush, markField, tell } from "../../js/notice.js";
import { fillScale } from "../../js/shades.js";
import { TokenText } from "./token_text.js";

const ENDINGS = { length: "its length", stop: "the model itself", stopped: "you" };
const SPEAK_MS = 4000;

export function panel() {
  const form = byId("generate-form");
  const error = byId("generate-error");
  let model = null; // what the API says of it
  let fields = []; // of the chosen model's row
  let branches = [];
  let branch = null;
  let running = null; // an AbortController
  let spoken = 0;

  const text = new TokenText(byId("tokens"), { point: detail, place });
  const heat = new Heat(byId("heat"), {
    hover: (index, words) => {
      byId("heat-readout").textContent = words ?? resting();
      text.mark(index);
      detail(index ?? text.caret);
    },
    choose: (index) => !running && text.setCaret(index),
  });

  const shownFields = () => fields.filter((one) => byId("heat-fields").querySelector(`input[value="${CSS.escape(one.name)}"]`)?.checked);
  const watching = () => byId("pace").value === "watch";
  const resting = () => (branch?.tokens.length
    ? "A column is the state after a token. Point at one to read it."
    : "Each column is the state after one token, each line a unit.");

  function takeModel(chosen) {
    model = chosen;
    fields = chosen.state.fields;
    const names = fields.map((one) => one.name);
    fill(byId("heat-fields"), ...names.map((name) =>
      make("label", { class: "chip" }, make("input", { type: "checkbox", value: name, checked: /\.h$/.test(name) || names.length === 1 }), make("span", {}, name))));
    byId("prompt").placeholder = chosen.inputs.ends_by_itself ? "empty: a new one from nothing" : "empty: a new line";
    if (byId("prompt").value === "ROMEO:\n" && chosen.inputs.ends_by_itself) byId("prompt").value = "";
    heat.layout(shownFields());
    byId("heat-readout").textContent = resting();
    busy(running !== null);
  }

  /** What the controls say; null when one is wrong, and said. */
  function sampling() {
    hush(error, form);
    const wrong = (id, words) => {
      markField(byId(id), words);
      return null;
    };
    const max = number(byId("max-tokens"));
    if (!Number.isInteger(max) || max < 1 || max > 900) return wrong("max-tokens", "1 to 900");
    const seed = number(byId("seed"));
    if (seed !== null && (!Number.isSafeInteger(seed) || seed < 0)) return wrong("seed", "a whole number, or nothing");
    return {
      max,
      seed: seed ?? Math.floor(Math.random() * 2 ** 31),
      body: { temperature: number(byId("temperature")), top_k: number(byId("top-k")) ?? 0, top_p: number(byId("top-p")) ?? 1 },
    };
  }

  function busy(is) {
    byId("generate-run").disabled = is;
    byId("generate-more").disabled = is || !branch;
    byId("generate-stop").disabled = !is;
    byId("rewind-here").disabled = is || text.caret === null;
    byId("fork-here").disabled = is || text.caret === null;
    byId("branches").querySelectorAll("button").forEach((one) => (one.disabled = is));
  }

  /** Run something that can be stopped, and tell what goes wrong. */
  async function work(task) {
    if (running) return;
    const controller = new AbortController();
    running = controller;
    busy(true);
    try {
      await task(controller.signal);
    } catch (problem) {
      tell(error, problem, { form });
    } finally {
      running = null;
      busy(false);
      draw();
      byId("generate-live").textContent = branch ? branch.text.slice(-400) : "";
    }
  }

  function draw() {
    if (!branch) return;
    text.show(branch.tokens);
    heat.show(branch.tokens, text.caret);
    byId("g-step").textContent = branch.step;
    byId("heat-readout").textContent = resting();
  }

  async function begin() {
    const wanted = sampling();
    if (!wanted) return;
    await work(async (signal) => {
      text.setCaret(null);
      const prompt = byId("prompt").value || (model.inputs.ends_by_itself ? "" : "\n");
      const fresh = await Branch.open(referenceOf(model), "main");
      branches.forEach((one) => one.leave());
      branch = fresh;
      branches = [fresh];
      drawBranches();
      clearFigures();
      await branch.begin(prompt, watching() ? shownFields().map((one) => one.name) : [], seen, signal);
      await writeOn(wanted, signal);
    });
  }

  const goOn = () => {
    const wanted = sampling();
    if (wanted && branch) {
      work(async (signal) => {
        text.setCaret(null);
        clearFigures();
        await writeOn(wanted, signal);
      });
    }
  };

  async function seen() {
    draw();
    await nextFrame();
  }

  async function writeOn({ max, seed, body }, signal) {
    const began = performance.now();
    const before = branch.tokens.length;
    let first = null;
    let ending = "length";
    const progress = () => {
      const produced = branch.tokens.length - before;
      const now = performance.now();
      if (first === null && produced) {
        first = now;
        byId("g-first").textContent = duration((first - began) / 1000);
      }
      if (produced > 1) byId("g-rate").textContent = Math.round((1000 * (produced - 1)) / Math.max(0.5, now - first)).toLocaleString("en-GB");
      if (now - spoken > SPEAK_MS) {
        spoken = now;
        byId("generate-live").textContent = branch.text.slice(-200);
      }
    };
    if (watching()) {
      const names = shownFields().map((one) => one.name);
      let drawn = 0;
      try {
        for (let turn = 0; turn < max; turn += 1) {
          if (signal.aborted) throw new DOMException("stopped", "AbortError");
          if (!(await branch.write(body, seed + turn))) {
            ending = "stop";
            break;
          }
          progress();
          await branch.look(names);
          if (performance.now() - drawn > 30) {
            await seen();
            drawn = performance.now();
          }
        }
      } catch (problem) {
        if (problem.name !== "AbortError") throw problem;
        ending = "stopped";
      }
    } else {
      ending = await branch.stream(body, seed, max, async () => {
        progress();
        await seen();
      }, signal);
      await branch.look(shownFields().map((one) => one.name));
      byId("heat-readout").textContent = "At full speed the state is read once, at the end.";
    }
    progress();
    byId("g-end").textContent = ENDINGS[ending] ?? ending;
  }

  function clearFigures() {
    for (const id of ["g-first", "g-rate", "g-end"]) byId(id).textContent = "–";
  }

  /** A token in words: its probability, and what else was likely. */
  function detail(index) {
    const token = index === null || !branch ? null : branch.tokens[index];
    const box = byId("token-detail");
    if (!token) {
      fill(box, branch?.tokens.length
        ? "Point at a character, or move with the arrow keys, to see how likely it was."
        : "The text and its state appear here once you press Generate.");
      return;
    }
    const words = token.p === null ? "the first, so nothing foretold it" : `${percent(token.p)} likely`;
    fill(box,
      make("div", {}, `${index + 1} of ${branch.tokens.length} · `, make("code", {}, visible(token.text)), " ", make("b", {}, words), token.prompt ? " (prompt)" : ""),
      token.top.length
        ? make("div", { class: "alternatives" }, ...token.top.map((one) => make("span", {}, make("code", {}, visible(one.text)), ` ${percent(one.p)}`)))
        : null);
  }

  /** The caret was set, or taken away. */
  function place(index) {
    detail(index);
    if (branch) heat.show(branch.tokens, index);
    busy(running !== null);
  }

  const rewind = () => work(async () => {
    const length = text.caret + 1;
    const began = performance.now();
    await branch.rewind(length);
    text.setCaret(null);
    byId("g-end").textContent = `rewound to ${length} in ${duration((performance.now() - began) / 1000)}`;
  });

  const fork = () => work(async () => {
    const length = text.caret + 1;
    const copy = await branch.fork(`fork ${branches.length} at ${length}`, length);
    branches.push(copy);
    branch = copy;
    text.setCaret(null);
    drawBranches();
    byId("g-end").textContent = "forked; go on differently";
  });

  function drawBranches() {
    fill(byId("branches"), ...(branches.length < 2 ? [] : branches.map((one) =>
      make("button", {
        type: "button", "aria-pressed": String(one === branch),
        onclick: () => {
          branch = one;
          text.setCaret(null);
          drawBranches();
          clearFigures();
          draw();
        },
      }, one.name))));
  }

  const start = () => offerModels("generate", {
    select: byId("generate-model"), error, form, none: "No text generator is served here", sessions: true, take: takeModel,
  });

  fillScale(byId("heat-scale"), "−1", "1");
  byId("heat-fields").addEventListener("change", () => heat.layout(shownFields()));
  byId("temperature").addEventListener("input", () => (byId("temperature-value").textContent = byId("temperature").value));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  byId("generate-more").addEventListener("click", goOn);
  byId("generate-stop").addEventListener("click", () => running?.abort());
  byId("rewind-here").addEventListener("click", rewind);
  byId("fork-here").addEventListener("click", fork);
  detail(null);
  start();
  return { keyChanged: start };
}
