// The panel "Compose": a melody to click in, voices that are written around it, ways to go on from any step.

import { events, send } from "../../js/api.js";
import { byId, download, fill, fillSelect, fillTable, make, number } from "../../js/dom.js";
import { offerModels, referenceOf } from "../../js/model_choice.js";
import { hush, tell } from "../../js/notice.js";
import { Player } from "./player.js";
import { PALETTE, Roll, pitchName } from "./roll.js";

// Pitch and beats.
const SAMPLES = [
  ["Scale", [[67, 1], [69, 1], [71, 1], [72, 1], [74, 2], [71, 2], [72, 1], [71, 1], [69, 1], [71, 1], [67, 4]]],
  ["Ode to Joy", [[71, 1], [71, 1], [72, 1], [74, 1], [74, 1], [72, 1], [71, 1], [69, 1], [67, 1], [67, 1], [69, 1], [71, 1], [71, 1.5], [69, 0.5], [69, 2]]],
  ["None", []],
];

/** Notes of each voice from chords, as long as their pitch stays; with what is told of their beginnings once all is known. */
function notesOf(steps, placed, names) {
  const found = [];
  names.forEach((name, voice) => {
    if (placed) {
      found.push(...placed[name].map((note) => ({ ...note, voice })));
      return;
    }
    let last = null;
    steps.forEach((chord, step) => {
      const pitch = chord[voice];
      if (last && last.pitch === pitch) last.duration += 1;
      else if (pitch === null) last = null;
      else found.push((last = { pitch, start: step, duration: 1, voice }));
    });
  });
  return found.sort((one, other) => one.start - other.start || one.voice - other.voice);
}

export function panel() {
  const form = byId("music-form");
  const error = byId("music-error");
  const temperature = byId("music-temperature");
  let model = null;
  let melody = [];
  let branches = [];
  let shown = null;
  let running = null;
  const player = new Player((step) => {
    roll.head = step;
    roll.draw();
    byId("music-play").textContent = step === null ? "Play" : "Stop";
  });
  const roll = new Roll(byId("music-roll"), { onPick: write, onMark: () => say() });

  const beat = () => model.inputs.steps_per_beat;
  const names = () => Object.keys(model.inputs.voices);
  const length = () => (number(byId("music-bars")) || 1) * model.inputs.steps_per_bar;
  const stepSeconds = () => 60 / (number(byId("music-tempo")) || 80) / beat();

  /** A note of the melody where the mark is, or none if it was there. */
  function write(step, pitch) {
    const size = Number(byId("music-length").value);
    const start = step - (step % size);
    const there = melody.some((note) => note.start <= step && step < note.start + note.duration && note.pitch === pitch);
    melody = melody.filter((note) => note.start >= start + size || note.start + note.duration <= start);
    const [low, high] = model.inputs.voices[names()[0]];
    if (!there && pitch >= low && pitch <= high) melody.push({ pitch, start, duration: size });
    melody.sort((one, other) => one.start - other.start);
    refresh();
  }

  function refresh() {
    roll.steps = Math.max(length(), shown?.steps.length ?? 0);
    roll.melody = melody.filter((note) => note.start + note.duration <= length());
    roll.notes = shown ? notesOf(shown.steps, shown.notes, names()) : [];
    byId("music-run").textContent = melody.length ? "Harmonise" : "Compose";
    byId("music-play").disabled = byId("music-fork").disabled = !shown?.steps.length;
    byId("music-midi").disabled = !shown?.notes;
    fill(byId("music-branches"), ...branches.map((branch) => make("button", {
      type: "button", "aria-pressed": String(branch === shown), onclick: () => choose(branch),
    }, branch.name)));
    const rows = (shown?.steps ?? []).filter((_, step) => step % beat() === 0);
    fillTable(byId("music-table"), ["beat", ...names()], rows.map((chord, at) => [at + 1, ...chord.map(pitchName)]));
    say();
    roll.draw();
  }

  function say() {
    if (!model) return;
    const { step, pitch } = roll.mark;
    const bar = Math.floor(step / model.inputs.steps_per_bar) + 1;
    const place = `bar ${bar}, beat ${(step % model.inputs.steps_per_bar) / beat() + 1}: ${pitchName(pitch)}`;
    const chord = shown?.steps[step];
    byId("music-readout").textContent = chord ? `${place}; sounding: ${names().map((name, at) => `${name} ${pitchName(chord[at])}`).join(", ")}` : place;
  }

  function choose(branch) {
    player.stop();
    shown = branch;
    byId("music-meta").textContent = branch.said;
    refresh();
  }

  /** Ask for a piece, and show and play it as it comes. */
  async function compose(name, given, from = 0) {
    running?.abort();
    player.stop();
    hush(error, form);
    const control = (running = new AbortController());
    const asked = {
      model: referenceOf(model), ...given, temperature: Number(temperature.value), tempo: number(byId("music-tempo")),
    };
    const seed = number(byId("music-seed"));
    if (seed !== null) asked.seed = seed;
    const branch = { name, asked, steps: [], notes: null, said: "" };
    branches = name === "A" ? [branch] : [...branches, branch];
    choose(branch);
    const began = performance.now();
    try {
      player.play(() => notesOf(branch.steps, branch.notes, names()), () => (branch.notes ? branch.steps.length : null), stepSeconds(), from);
      for await (const frame of events("/compose", { ...asked, stream: true }, control.signal)) {
        if (frame.type === "step") branch.steps.push(...frame.steps);
        else {
          const [piece] = frame.pieces;
          branch.notes = piece.notes;
          branch.asked.seed = frame.seed;
          const seconds = ((performance.now() - began) / 1000).toFixed(1);
          branch.said = `Seed ${frame.seed}; ${(piece.nats / piece.steps.length).toFixed(2)} nats a step; written in ${seconds} s.`;
          byId("music-meta").textContent = branch.said;
        }
        if (shown === branch) refresh();
      }
    } catch (problem) {
      player.stop();
      branches = branches.filter((one) => one !== branch);
      shown = branches.at(-1) ?? null;
      refresh();
      tell(error, problem, { form });
    }
  }

  /** The melody as requests have it: what is left open before a note is drawn. */
  function given() {
    const asked = { steps: length() };
    const inside = melody.filter((note) => note.start + note.duration <= length());
    if (inside.length) asked.melody = inside;
    return asked;
  }

  /** All voices up to the mark, and the melody behind it. */
  function fork() {
    const until = roll.mark.step;
    const kept = notesOf(shown.steps, shown.notes, names()).filter((note) => note.start < until);
    const voices = Object.fromEntries(names().map((name, voice) => {
      const notes = kept.filter((note) => note.voice === voice)
        .map(({ pitch, start, duration }) => ({ pitch, start, duration: Math.min(duration, until - start) }));
      return [name, rests(notes, until)];
    }));
    const first = names()[0];
    voices[first].push(...melody.filter((note) => note.start >= until && note.start + note.duration <= shown.steps.length));
    compose(String.fromCharCode(65 + branches.length), { steps: shown.steps.length, given: voices }, until);
  }

  async function save() {
    try {
      const answer = await send("/compose", { json: shown.asked, accept: "audio/midi" });
      download(await answer.blob(), `${model.name}-${shown.name}.mid`);
    } catch (problem) {
      tell(error, problem, { form });
    }
  }

  function takeModel(chosen) {
    model = chosen;
    const ranges = Object.values(model.inputs.voices);
    roll.low = Math.min(...ranges.map(([low]) => low)) - 1;
    roll.high = Math.max(...ranges.map(([, high]) => high)) + 1;
    roll.beat = beat();
    roll.bar = model.inputs.steps_per_bar;
    fillSelect(byId("music-length"), [1, 2, 4].map((share) => ({ value: Math.max(1, Math.round(beat() / 2) * share), label: ["half a beat", "a beat", "two beats"][Math.log2(share)] })), Math.max(1, Math.round(beat() / 2) * 2));
    fill(byId("music-legend"), ...names().map((name, voice) => {
      const entry = make("span", {}, name);
      entry.style.setProperty("--voice", `var(--${PALETTE[voice % PALETTE.length]})`);
      return entry;
    }));
    branches = [];
    shown = null;
    sample(SAMPLES[0][1]);
  }

  function sample(notes) {
    let start = 0;
    melody = notes.map(([pitch, beats]) => {
      const note = { pitch, start, duration: Math.max(1, Math.round(beats * beat())) };
      start += note.duration;
      return note;
    });
    refresh();
  }

  const start = () => offerModels("compose", {
    select: byId("music-model"), error, form, none: "No model that composes is served here", take: takeModel,
  });

  fill(byId("music-samples"), ...SAMPLES.map(([name, notes]) => make("button", { type: "button", class: "with-model", disabled: true, onclick: () => sample(notes) }, name)));
  temperature.addEventListener("input", () => { byId("music-temperature-value").textContent = Number(temperature.value).toFixed(2).replace(/0$/, ""); });
  byId("music-bars").addEventListener("input", () => model && refresh());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    compose("A", given());
  });
  byId("music-clear").onclick = () => sample([]);
  byId("music-fork").onclick = fork;
  byId("music-midi").onclick = save;
  byId("music-play").onclick = () => {
    if (player.playing) player.stop();
    else player.play(() => notesOf(shown.steps, shown.notes, names()), () => shown.steps.length, stepSeconds(), roll.mark.step === shown.steps.length - 1 ? 0 : roll.mark.step);
  };
  start();
  return { keyChanged: start, show: () => roll.draw(), hide: () => player.stop() };
}

/** Notes with the rests between them, up to a step. */
function rests(notes, until) {
  const found = [];
  let end = 0;
  for (const note of notes) {
    if (note.start > end) found.push({ pitch: null, start: end, duration: note.start - end });
    found.push(note);
    end = note.start + note.duration;
  }
  if (end < until) found.push({ pitch: null, start: end, duration: until - end });
  return found;
}
