// The panel "Models": a card for each, from what the API says of it.

import { ask, models } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { bytes, count } from "./format.js";
import { hush, tell } from "./notice.js";

const FIRST = 3;

export function modelsPanel() {
  async function start() {
    hush(byId("models-error"));
    try {
      const [ready, all] = await Promise.all([models(), ask("/models")]);
      const others = all.models.filter((one) => one.status !== "ready");
      fill(byId("model-cards"), ...ready.map(card), ...others.map(idle));
      if (!ready.length) tell(byId("models-error"), { title: "No model is served", detail: others.length ? "None of those below answers requests." : "The folder of models is empty.", errors: [] });
    } catch (problem) {
      if (problem.status !== 401) tell(byId("models-error"), problem, { again: start });
    }
  }
  start();
  return { keyChanged: start };
}

const badge = (text, kind = "") => make("span", { class: `badge ${kind}` }, text);

const framed = ({ name, version }, ...parts) =>
  make("article", { class: "card model", "aria-labelledby": `model-${name}-${version}` },
    make("h2", { id: `model-${name}-${version}` }, name, make("small", {}, `@${version}`)), ...parts);

/** A version that answers no requests, and why. */
const idle = (model) => framed(model, make("p", {}, model.reason), make("div", { class: "badges" }, badge(model.status, model.status === "broken" ? "bad" : "")));

function card(model) {
  const { network, state } = model;
  const [first, rest] = chosen(model.quality);
  return framed(model,
    make("p", {}, model.description),
    make("div", { class: "badges" },
      badge(model.task), badge(model.cell.toUpperCase()),
      model.default ? badge("default") : null,
      badge("golden check passed", "good")),
    make("dl", { class: "figures" },
      figure("Parameters", count(network.parameters)),
      figure("Layers × units", `${network.layers} × ${network.hidden}`),
      figure("State", `${count(state.size)} floats`),
      figure("A session stores", bytes(state.size * 4))),
    make("h3", {}, "Quality on held-out data"),
    make("div", { class: "quality" }, ...first.map(measure)),
    rest.length ? make("details", {}, make("summary", {}, `All ${model.quality.length} figures`), make("div", { class: "quality" }, ...rest.map(measure))) : null,
    details(model));
}

/** The figures to begin with, one for each data set that has baselines, and the others. */
function chosen(quality) {
  const seen = new Set();
  const first = quality.filter(({ dataset, baselines }) => {
    const wanted = seen.size < FIRST && !seen.has(dataset) && Object.keys(baselines).length > 0;
    if (wanted) seen.add(dataset);
    return wanted;
  });
  return [first, quality.filter((one) => !first.includes(one))];
}

const figure = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));

/** Four significant digits, without an exponent. */
const brief = (value) => String(Number(value.toPrecision(4)));

function measure({ metric, dataset, split, value, higher_is_better: higher, baselines, references }) {
  const rows = [["this model", value, true], ...Object.entries(baselines).map(([name, one]) => [name, one, false])];
  const most = Math.max(...rows.map(([, one]) => Math.abs(one)));
  if (rows.length === 1) {
    const aims = Object.entries(references).map(([name, one]) => `${name} ${brief(one)}`).join(", ");
    return make("div", { class: "measure" }, make("div", { class: "measure-head" },
      make("span", {}, make("b", {}, metric), ` on ${dataset}, ${split}`), make("span", {}, make("b", {}, brief(value)), aims ? ` (${aims})` : "")));
  }
  const published = Object.entries(references).map(([name, one]) => `${name}: ${brief(one)}`).join("; ");
  return make("div", { class: "measure" },
    make("div", { class: "measure-head" },
      make("span", {}, make("b", {}, metric), ` on ${dataset}, ${split}`),
      make("span", {}, higher ? "more is better" : "less is better")),
    ...rows.map(([name, one, own]) => {
      const bar = make("div", { class: "bar-fill" });
      bar.style.width = `${(100 * Math.abs(one)) / most}%`;
      return make("div", { class: own ? "bar own" : "bar" }, make("span", { class: "bar-name" }, name),
        make("div", { class: "bar-track" }, bar), make("span", { class: "bar-value" }, brief(one)));
    }),
    published ? make("p", { class: "hint" }, `Published: ${published}`) : null);
}

function details(model) {
  const { provenance, inputs, limits, state, versions } = model;
  const line = (name, value) => [make("dt", {}, name), make("dd", {}, value)];
  const data = (provenance.data || []).map((one) => one.name.split("/").slice(1).join("/") || one.name).join(", ");
  const listed = (map) => Object.entries(map)
    .filter(([, value]) => typeof value !== "object" || Array.isArray(value))
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${Array.isArray(value) ? value.join(", ") : value}`).join("; ");
  return make("details", {}, make("summary", {}, "Data, limits and state"),
    make("dl", { class: "kv" },
      ...line("Learned from", data || "not recorded"),
      ...line("Made", `${(provenance.created || "").slice(0, 10)}, seed ${provenance.seed ?? "not recorded"}`),
      ...line("Inputs", listed(inputs)),
      ...line("Limits", listed(limits)),
      ...line("State row", state.fields.map((one) => `${one.name} [${one.shape.join(", ")}]`).join(", ")),
      ...line("Versions", versions.join(", "))));
}
