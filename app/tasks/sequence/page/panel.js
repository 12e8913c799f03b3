// The panel "Sequence": rows or a text through any recurrent network, at once or through a session.

import { ask } from "../../js/api.js";
import { byId, dropZone, fill, fillSelect, make } from "../../js/dom.js";
import { offerModels, referenceOf } from "../../js/model_choice.js";
import { hush, tell } from "../../js/notice.js";
import { OutputView } from "./outputs.js";
import { MOST_ROWS, described, kindOf, parseRows, placeholder, readTable } from "./rows.js";
import { streamRows } from "./stream.js";

const SAMPLES = ["Papadopoulos", "O'Brien", "Tanaka", "Rousseau", "Kowalski"];
const MAX_FILE = 16 * 1024 * 1024;
const ONE = "no column: the table is one sequence";

export function panel() {
  const form = byId("sequence-form");
  const error = byId("sequence-error");
  const view = new OutputView();
  let model = null; // what the API says of it
  let table = null; // {name, text}: the file, as it came
  let sequences = []; // what was read of it: [{id, rows}]
  let loading = 0; // the number of the last file that was chosen
  let running = null; // an AbortController while a stream runs

  const named = () => referenceOf(model);
  const kind = () => kindOf(model.inputs);
  const streaming = () => byId("sequence-stream").checked;

  function leave() {
    running?.abort();
    running = null;
    byId("sequence-stop").hidden = true;
  }

  function takeModel(chosen) {
    leave();
    model = chosen;
    hush(error, form);
    view.take(model.inputs.outputs);
    byId("sequence-meta").textContent = "";
    byId("sequence-reads").textContent = `${model.description} ${described(model.inputs)}`;
    byId("sequence-of-text").hidden = kind() !== "text";
    byId("sequence-of-rows").hidden = kind() === "text";
    byId("sequence-drop").hidden = kind() !== "columns";
    byId("sequence-paste").open = kind() !== "columns" && kind() !== "text";
    byId("sequence-rows").placeholder = placeholder(model.inputs);
    sequences = [];
    showSequences([]);
    if (table && kind() === "columns") load(table);
    else byId("sequence-summary").textContent = "";
  }

  /** Read a table, with a column that tells sequences apart or without. */
  async function load(given, by = "") {
    hush(error, form);
    const mine = (loading += 1);
    table = given;
    if (!model) return; // it is read once there is one
    let found;
    try {
      found = kind() === "columns"
        ? await readTable(table.text, named(), by)
        : { others: [], sequences: [{ id: null, rows: parseRows(table.text, model.inputs) }] };
    } catch (problem) {
      if (mine === loading) tell(error, problem, { form, again: problem.kind === "unreachable" ? () => load(given, by) : null });
      return;
    }
    if (mine !== loading) return; // another file was chosen meanwhile
    sequences = found.sequences;
    showSequences(found.others, by);
    await run();
  }

  function showSequences(others, by = "") {
    byId("sequence-by-field").hidden = !others.length;
    byId("sequence-which-field").hidden = sequences.length < 2;
    fillSelect(byId("sequence-by"), ["", ...others].map((name) => ({ value: name, label: name || ONE })), by);
    fillSelect(byId("sequence-which"), sequences.map(({ id, rows }, at) => ({ value: String(at), label: `${id} (${rows.length})` })), "0");
    const rows = sequences.reduce((sum, one) => sum + one.rows.length, 0);
    const several = sequences.length > 1 ? ` in ${sequences.length} sequences` : "";
    byId("sequence-summary").textContent = sequences.length ? `${table.name}: ${rows} ${rows === 1 ? "row" : "rows"}${several}` : "";
  }

  async function readFile(file) {
    if (file.size > MAX_FILE) {
      tell(error, { title: `${file.name} is too large`, detail: "At most 16 MB are read here.", errors: [] });
      return;
    }
    await load({ name: file.name, text: await file.arrayBuffer() });
  }

  /** What is read: {rows} or {text}; null when there is none, and said. */
  function asked() {
    if (kind() === "text") {
      const text = byId("sequence-text").value;
      if (text) return { text };
      tell(error, { title: "There is no text yet", detail: "Type one, or take an example.", errors: [] });
      return null;
    }
    const chosen = sequences[byId("sequence-which").selectedIndex] ?? sequences[0];
    if (chosen) return { rows: chosen.rows.slice(0, MOST_ROWS) };
    tell(error, { title: "There are no rows yet", detail: "Drop a CSV, or paste rows.", errors: [] });
    return null;
  }

  async function run() {
    hush(error, form);
    leave();
    const request = asked();
    if (!request) return;
    const abort = (running = new AbortController());
    try {
      await (streaming() ? stream(request, abort.signal) : once(request, abort.signal));
    } catch (problem) {
      tell(error, problem, { form, again: problem.kind === "unreachable" ? run : null });
    } finally {
      if (running === abort) leave();
    }
  }

  const whole = async (request, signal) => {
    const { results } = await ask("/sequence", { json: { ...request, read: "each", model: named() }, signal });
    return results[0];
  };

  /** The characters of a text, where each is a step. */
  const letters = ({ text }, length) => {
    const found = text === undefined ? [] : [...text];
    return found.length === length ? found : null;
  };

  const left = (request) => {
    const all = (sequences[byId("sequence-which").selectedIndex] ?? sequences[0])?.rows.length ?? 0;
    return request.rows && all > MOST_ROWS ? ` The first ${MOST_ROWS} of ${all} rows.` : "";
  };

  async function once(request, signal) {
    const { steps, length } = await whole(request, signal);
    view.show(steps, letters(request, length));
    byId("sequence-meta").textContent = `${length} ${length === 1 ? "step" : "steps"} read by ${named()}.${left(request)}`;
  }

  async function stream(request, signal) {
    view.clear();
    byId("sequence-stop").hidden = false;
    let names = null;
    let inputs = request.rows?.map((row) => (Array.isArray(row) ? row : [row]));
    if (!inputs) {
      // How a tokenizer parts a text is its own affair, so only what it reads letter by letter is fed so.
      names = letters(request, (await whole(request, signal)).length);
      inputs = names ?? [request.text];
    }
    const id = await streamRows({
      model: named(), inputs, signal, pace: Number(byId("sequence-pace").value),
      show: (steps) => {
        if (running?.signal !== signal) return; // something else is read by now
        view.show(steps, names);
        byId("sequence-meta").textContent = `${steps.length} of ${inputs.length} fed.${left(request)}`;
      },
    });
    if (running?.signal === signal) byId("sequence-meta").textContent += ` Session ${id}.`;
  }

  const start = () => offerModels("sequence", {
    select: byId("sequence-model"), error, form, none: "No network for sequences is served here", take: takeModel,
  });

  fill(byId("sequence-samples"), ...SAMPLES.map((text) => make("button", {
    type: "button",
    class: "with-model",
    disabled: true,
    onclick: () => {
      byId("sequence-text").value = text;
      run();
    },
  }, text)));
  dropZone(byId("sequence-drop"), byId("sequence-file"), readFile);
  byId("sequence-use").addEventListener("click", () => load({ name: "pasted rows", text: byId("sequence-rows").value }));
  byId("sequence-by").addEventListener("change", () => load(table, byId("sequence-by").value));
  byId("sequence-which").addEventListener("change", run);
  byId("sequence-stop").addEventListener("click", () => running?.abort());
  byId("sequence-stream").addEventListener("change", () => {
    byId("sequence-pace-field").hidden = !streaming();
    byId("sequence-run").textContent = streaming() ? "Stream" : "Read";
    leave();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  start();
  return { keyChanged: start, hide: () => running?.abort() };
}
