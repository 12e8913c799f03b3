// The panel "Sessions": the list, one session's state, snapshots and forks; states out and in again.

import { ask, models } from "./api.js";
import { byId, download, dropZone, fill, fillSelect, make } from "./dom.js";
import { ago } from "./format.js";
import { hush, tell } from "./notice.js";
import { ramp, squeeze } from "./shades.js";

const PAGE = 500;
const MAX_STATE = 16 * 1024 * 1024;
const CLOSED_AT_ONCE = 8;

const ORIGIN = { made_by: "page", panel: "sessions" };

const path = (id, rest = "") => `/sessions/${encodeURIComponent(id)}${rest}`;

/** Where a session comes from, as its metadata say. */
function originOf({ metadata }) {
  if (metadata.made_by === "page") return metadata.panel ? `page, ${metadata.panel}` : "page";
  return typeof metadata.made_by === "string" ? metadata.made_by : "–";
}

export function sessionsPanel() {
  const listError = byId("sessions-error");
  const openError = byId("open-error");
  const error = byId("session-error");
  let sessions = [];
  let next = null;
  let chosen = null;

  async function refresh() {
    hush(listError);
    try {
      const page = await ask(`/sessions?limit=${PAGE}`);
      sessions = page.sessions;
      next = page.next;
      drawList();
    } catch (problem) {
      const off = problem.status === 404;
      if (problem.status !== 401) tell(listError, problem, { again: off ? null : refresh });
    }
  }

  async function more() {
    try {
      const page = await ask(`/sessions?limit=${PAGE}&after=${encodeURIComponent(next)}`);
      sessions.push(...page.sessions);
      next = page.next;
      drawList();
    } catch (problem) {
      tell(listError, problem, { again: more });
    }
  }

  /** The sessions that the filter lets through. */
  function filtered() {
    const words = byId("session-filter").value.trim().toLowerCase();
    const origin = byId("session-origin").value;
    return sessions.filter((one) => {
      if (origin && (one.metadata.made_by === "page") !== (origin === "page")) return false;
      return `${one.id} ${one.model} ${one.task} ${JSON.stringify(one.metadata)}`.toLowerCase().includes(words);
    });
  }

  function drawList() {
    const matching = filtered();
    const latest = matching.slice().sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
    fill(byId("session-rows"), ...latest.map((one) =>
      make("tr", { class: one.id === chosen?.id ? "chosen" : "", "data-id": one.id },
        make("td", {}, make("button", { type: "button", class: "link", "aria-pressed": String(one.id === chosen?.id), onclick: () => choose(one.id) }, shown(one.id))),
        make("td", {}, one.model), make("td", { class: "num" }, String(one.step)), make("td", {}, ago(one.updated_at)),
        make("td", {}, originOf(one)))));
    byId("sessions-more").hidden = next === null;
    const some = matching.length < sessions.length ? `${matching.length} of ` : "";
    byId("sessions-summary").textContent = sessions.length
      ? `${some}${sessions.length}${next === null ? "" : " so far"}, the last written first.`
      : "None is open. Open one below; the other panels open theirs as they need them.";
    byId("sessions-close").disabled = matching.length === 0;
    sure(null);
  }

  let closing = null; // ids that wait for a yes

  /** Ask whether these sessions shall be closed; null takes the question back. */
  function sure(ids) {
    closing = ids;
    byId("sessions-sure").hidden = ids === null;
    if (ids === null) return;
    byId("sessions-sure-words").textContent = ids.length === 1 ? "Close 1 session? Its state will be gone." : `Close ${ids.length} sessions? Their states will be gone.`;
    byId("sessions-yes").focus();
  }

  async function closeAll(ids) {
    const waiting = ids.slice();
    const failed = [];
    const work = async () => {
      for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
        try {
          await ask(path(id), { method: "DELETE" });
        } catch (problem) {
          if (problem.status !== 404 && problem.status !== 410) failed.push(problem); // those have ended by themselves
        }
      }
    };
    byId("sessions-sure").hidden = true;
    await Promise.all(Array.from({ length: CLOSED_AT_ONCE }, work));
    if (ids.includes(chosen?.id)) forget();
    await refresh();
    if (failed.length) tell(listError, failed[0]);
  }

  function forget() {
    chosen = null;
    byId("session-detail").hidden = true;
    byId("session-none").hidden = false;
  }

  /** An id that was drawn is long, and its beginning tells it apart. */
  const shown = (id) => (/^[0-9a-f]{32,}$/.test(id) ? `${id.slice(0, 12)}…` : id);

  async function choose(id) {
    hush(error);
    byId("session-none").hidden = true;
    byId("session-detail").hidden = false;
    byId("session-title").textContent = id;
    try {
      chosen = await ask(path(id));
      drawList();
      const [{ snapshots }, { fields }] = await Promise.all([ask(path(id, "/snapshots")), ask(path(id, "/row"))]);
      if (chosen.id !== id) return; // another was chosen meanwhile
      drawDetail(snapshots, fields);
    } catch (problem) {
      fill(byId("snapshot-list"));
      fill(byId("session-figures"));
      if (problem.status !== 401) tell(error, problem, { again: problem.kind === "unreachable" ? () => choose(id) : null });
      if (problem.status === 410 || problem.status === 404) refresh();
    }
  }

  function drawDetail(snapshots, fields) {
    const figure = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));
    fill(byId("session-figures"),
      figure("Model", chosen.model), figure("Step", String(chosen.step)),
      figure("Opened", ago(chosen.created_at)), figure("Ends unless written", until(chosen.expires_at)));
    if (fields.length) {
      fill(byId("session-row"), ...fields.map(strip));
    } else {
      fill(byId("session-row"), make("p", { class: "hint" }, "It has taken no step yet, so there is nothing to see."));
    }
    fill(byId("snapshot-list"), ...(snapshots.length ? snapshots.map(snapshotItem) : [make("li", {}, make("span", { class: "when" }, "None yet."))]));
    fill(byId("fork-tree"), tree());
  }

  const until = (iso) => {
    const seconds = Math.max(0, (Date.parse(iso) - Date.now()) / 1000);
    return seconds < 5400 ? `in ${Math.round(seconds / 60)} min` : `in ${Math.round(seconds / 3600)} h`;
  };

  /** A field of the state on its side, each unit in its place. */
  function strip({ name, values }) {
    const colours = ramp();
    const words = `${name}: ${values.length} numbers, from ${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
    const canvas = make("canvas", { width: values.length, height: 1, role: "img", "aria-label": words, title: words });
    const context = canvas.getContext("2d");
    const image = context.createImageData(values.length, 1);
    const bounded = squeeze(name);
    new Uint32Array(image.data.buffer).set(values.map((one) => colours[Math.max(0, Math.min(255, Math.round(bounded(one) * 127.5 + 127.5)))]));
    context.putImageData(image, 0, 0);
    return make("div", { class: "heat-band" }, make("div", { class: "heat-name" }, name, make("small", {}, `${values.length} numbers`)), canvas);
  }

  function snapshotItem(one) {
    return make("li", {},
      make("span", { class: "name" }, one.name), make("span", {}, `step ${one.step}`),
      make("span", { class: "when" }, `${one.automatic ? "automatic, " : ""}${ago(one.created_at)}`),
      make("button", { type: "button", "aria-label": `Rewind to ${one.name}`, onclick: () => act(() => ask(path(chosen.id, "/rewind"), { json: { to: one.name } })) }, "Rewind to it"));
  }

  /** The forks of a session: who was made from whom is in the metadata that this page gives its forks. */
  function tree() {
    const known = new Map(sessions.map((one) => [one.id, one]));
    const parent = (one) => (known.has(one.metadata.parent) ? one.metadata.parent : null);
    let root = known.get(chosen.id) ?? chosen;
    for (const passed = new Set(); parent(root) && !passed.has(root.id); root = known.get(parent(root))) passed.add(root.id);
    const branch = (one, depth = 0) => {
      const children = depth > 40 ? [] : sessions.filter((other) => other.metadata.parent === one.id && other.id !== one.id);
      const at = one.metadata.at_step !== undefined && parent(one) ? `forked at step ${one.metadata.at_step}, ` : "";
      return make("li", {},
        one.id === chosen.id ? make("span", { class: "here" }, shown(one.id)) : make("button", { type: "button", class: "link", onclick: () => choose(one.id) }, shown(one.id)),
        make("span", { class: "at" }, `${at}now at step ${one.step}`),
        children.length ? make("ul", {}, ...children.map((child) => branch(child, depth + 1))) : null);
    };
    return make("ul", {}, branch(root));
  }

  /** Do something to the chosen session, and show how it is then. */
  async function act(task) {
    hush(error, byId("snapshot-form"));
    try {
      const made = await task();
      await refresh();
      await choose(made?.id && made.id !== chosen.id ? made.id : chosen.id);
    } catch (problem) {
      tell(error, problem, { form: byId("snapshot-form") });
    }
  }

  async function save() {
    const { model, step, state } = await ask(path(chosen.id, "/state"));
    download(new Blob([state], { type: "text/plain" }), `${model.replace("@", "-")}-step-${step}.rnnstate`);
  }

  async function close() {
    try {
      await ask(path(chosen.id), { method: "DELETE" });
      forget();
      await refresh();
    } catch (problem) {
      tell(error, problem);
    }
  }

  async function open(body) {
    hush(openError, byId("session-form"));
    try {
      const info = await ask("/sessions", { json: body });
      byId("session-id").value = "";
      await refresh();
      await choose(info.id);
    } catch (problem) {
      tell(openError, problem, { form: byId("session-form") });
    }
  }

  async function openFile(file) {
    if (file.size > MAX_STATE) {
      tell(openError, { title: `${file.name} is too large for a state`, detail: "", errors: [] });
      return;
    }
    const id = byId("session-id").value.trim();
    await open({ state: (await file.text()).trim(), metadata: ORIGIN, ...(id ? { id } : {}) });
  }

  async function fillModels() {
    try {
      const all = await models();
      fillSelect(byId("session-model"), all.map((one) => ({ value: `${one.name}@${one.version}`, label: `${one.name}@${one.version}` })), "");
    } catch (problem) {
      if (problem.status !== 401) tell(openError, problem, { again: fillModels });
    }
  }

  byId("sessions-refresh").addEventListener("click", refresh);
  byId("sessions-more").addEventListener("click", more);
  byId("session-filter").addEventListener("input", drawList);
  byId("session-origin").addEventListener("change", drawList);
  byId("sessions-close").addEventListener("click", () => sure(filtered().map((one) => one.id)));
  byId("sessions-yes").addEventListener("click", () => closeAll(closing));
  byId("sessions-no").addEventListener("click", () => {
    sure(null);
    byId("sessions-close").focus();
  });
  byId("session-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = byId("session-id").value.trim();
    open({ model: byId("session-model").value, metadata: ORIGIN, ...(id ? { id } : {}) });
  });
  dropZone(byId("state-drop"), byId("state-file"), openFile);
  byId("session-fork").addEventListener("click", () =>
    act(() => ask(path(chosen.id, "/fork"), { json: { metadata: { ...chosen.metadata, ...ORIGIN, parent: chosen.id, at_step: chosen.step } } })));
  byId("session-download").addEventListener("click", () => save().catch((problem) => tell(error, problem)));
  byId("session-close").addEventListener("click", close);
  byId("snapshot-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = byId("snapshot-name").value.trim();
    act(async () => {
      await ask(path(chosen.id, "/snapshots"), { json: { name } });
      byId("snapshot-name").value = "";
    });
  });
  document.addEventListener("theme", () => chosen && choose(chosen.id));
  fillModels();
  return {
    show: ([id]) => refresh().then(() => id && choose(id)),
    keyChanged: () => {
      fillModels();
      refresh();
    },
  };
}
