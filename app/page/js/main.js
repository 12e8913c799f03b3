// The frame around the panels: which one is shown, the colours, the key, and whether the server is there.

import { ask, hasKey, useKey } from "./api.js";
import { byId, make } from "./dom.js";
import { modelsPanel } from "./models.js";
import { nowPanel } from "./now.js";
import { sessionsPanel } from "./sessions.js";

const STATUS_MS = 5000;

// The document names the scripts of the tasks' panels; each exports ``panel``. One that cannot be loaded leaves the others.
const scripts = [...document.querySelectorAll("script[data-panel]")];
const modules = await Promise.allSettled(scripts.map((one) => import(one.src)));
const PANELS = {
  ...Object.fromEntries(scripts.map((one, at) => [one.dataset.panel, modules[at].value?.panel ?? broken(one.dataset.panel)])),
  sessions: sessionsPanel,
  models: modelsPanel,
  now: nowPanel,
};
const FIRST = Object.keys(PANELS)[0];

const running = {};
let shown = null;

/** Each panel is started when it is first shown, and told when it is hidden. */
function show() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const next = name in PANELS ? name : (name && shown) || FIRST;
  if (name === "main") {
    byId("main").focus();
    return;
  }
  if (next !== shown) {
    running[shown]?.hide?.();
    for (const other of Object.keys(PANELS)) byId(`panel-${other}`).hidden = other !== next;
    for (const link of document.querySelectorAll(".tabs a")) {
      if (link.hash === `#${next}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (shown !== null) {
      byId("main").focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    shown = next;
    document.title = `${byId(`h-${next}`).textContent} · rnnserve`;
  }
  running[next] ??= PANELS[next]();
  running[next].show?.(rest.map(decodeURIComponent));
}

/** In place of a panel whose script could not be loaded. */
function broken(name) {
  return () => {
    byId(`panel-${name}`).append(make("p", { class: "notice" }, "The script of this panel could not be loaded. Load the page again."));
    return {};
  };
}

function theme() {
  const select = byId("theme");
  select.value = window.rnnserveTheme.choice;
  select.addEventListener("change", () => window.rnnserveTheme.choose(select.value));
}

function keyForm() {
  const form = byId("key-form");
  const input = byId("key-input");
  const error = byId("key-error");
  const open = (words) => {
    form.hidden = false;
    byId("key-button").hidden = false;
    error.textContent = words;
    input.focus();
  };
  document.addEventListener("key-needed", (event) => {
    if (event.detail.refused) open("The server refused this key. Check it, or ask whoever runs the server for another.");
    else if (form.hidden) open("");
  });
  byId("key-button").addEventListener("click", () => open(""));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!input.value.trim()) {
      error.textContent = "Type or paste a key first.";
      return;
    }
    error.textContent = "";
    useKey(input.value.trim());
    try {
      await ask("/models");
    } catch (problem) {
      if (problem.status !== 401) error.textContent = `${problem.title}. ${problem.detail}`;
      return;
    }
    input.value = "";
    form.hidden = true;
    byId("main").focus();
    for (const panel of Object.values(running)) panel.keyChanged?.();
  });
}

async function status() {
  const line = byId("status");
  const say = (state, words) => {
    if (line.dataset.state === state && line.lastElementChild.textContent === words) return;
    line.dataset.state = state;
    line.lastElementChild.textContent = words;
  };
  if (!document.hidden) {
    try {
      const { models } = await ask("/readyz");
      say("ready", `ready, ${models.length} ${models.length === 1 ? "model" : "models"}`);
    } catch (problem) {
      if (problem.kind === "unreachable") say("bad", "does not answer");
      else if (problem.status === 401) say("", hasKey() ? "key refused" : "needs a key");
      else say("bad", problem.reason || problem.title);
    }
  }
  setTimeout(status, STATUS_MS);
}

addEventListener("hashchange", show);
theme();
keyForm();
show();
status();
