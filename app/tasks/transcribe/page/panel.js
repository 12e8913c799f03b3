// The panel "Transcribe": a session hears a file or the microphone, piece by piece.

import { SessionLine, ask } from "../../js/api.js";
import { byId, dropZone, fill, fillTable, make } from "../../js/dom.js";
import { duration, percent } from "../../js/format.js";
import { offerModels, referenceOf } from "../../js/model_choice.js";
import { hush, tell } from "../../js/notice.js";
import { closeSession, openSession } from "../../js/own_sessions.js";
import { ramp, squeeze } from "../../js/shades.js";
import { fileSamples, microphone } from "./sounds.js";

const TTL_S = 900;
const PIECE_S = 0.2;
const COLUMNS = 400;

function base64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** The state's picture: columns of values between -1 and 1. */
class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.columns = [];
    document.addEventListener("theme", () => this.draw());
  }

  add(name, values) {
    this.columns.push(values.map(squeeze(name)));
    if (this.columns.length > COLUMNS) this.columns.shift();
    this.draw();
  }

  clear() {
    this.columns = [];
    this.draw();
  }

  draw() {
    const [width, height] = [Math.max(1, this.columns.length), this.columns[0]?.length ?? 1];
    Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const colours = ramp();
    const pixels = new Uint32Array(image.data.buffer);
    this.columns.forEach((values, x) => values.forEach((value, y) => {
      pixels[y * width + x] = colours[Math.round(127.5 + 127.5 * Math.max(-1, Math.min(1, value)))];
    }));
    context.putImageData(image, 0, 0);
  }
}

/** One sound on its way through a session. */
class Hearing {
  constructor(model, shown) {
    this.model = model;
    this.shown = shown;
    this.words = [];
    this.open = "";
  }

  async begin(rate) {
    const body = { model: referenceOf(this.model), ttl_seconds: TTL_S, options: { rate } };
    this.id = (await openSession("transcribe", body)).id;
    this.line = new SessionLine(this.id);
    await this.line.ready;
  }

  async feed(samples, finish = false) {
    const began = performance.now();
    const frame = await this.line.feed({ pcm16: base64(samples), finish });
    const output = frame.outputs.at(-1);
    output.segments.forEach((segment) => this.words.push(...segment.words));
    this.open = output.text;
    await this.shown(this, output, (performance.now() - began) / 1000);
  }

  leave() {
    this.line?.close();
    closeSession(this.id);
  }
}

export function panel() {
  const error = byId("hear-error");
  const speak = byId("hear-speak");
  const picture = new Picture(byId("hear-heat"));
  let model = null; // what the API says of it
  let hearing = null;
  let recording = null;
  let started = null; // whether the models are known
  let turn = 0; // the number of the last sound

  async function shown(one, output, seconds) {
    if (one !== hearing) return;
    const text = one.words.map((word) => word.word).join(" ");
    fill(byId("hear-text"), text, one.open ? make("span", { class: "open" }, `${text ? " " : ""}${one.open}`) : null);
    fillTable(byId("hear-words"), ["word", "from", "to", "confidence"], one.words.map((word) => [
      word.word, `${word.start.toFixed(2)} s`, `${word.end.toFixed(2)} s`, percent(word.confidence)]));
    byId("hear-meta").textContent = `Session ${one.id.slice(0, 8)}…, ${output.samples} samples${output.finished ? ", finished" : ""}. The last piece took ${duration(seconds)} there and back.`;
    const { name } = one.model.state.fields.filter((field) => field.name.startsWith("layer")).at(-1);
    const { fields } = await ask(`/sessions/${encodeURIComponent(one.id)}/row?fields=${encodeURIComponent(name)}`);
    if (fields.length && one === hearing) picture.add(name, fields[0].values);
  }

  async function begin(rate) {
    hearing?.leave();
    hush(error);
    picture.clear();
    fill(byId("hear-text"));
    fillTable(byId("hear-words"), ["word", "from", "to", "confidence"], []);
    hearing = new Hearing(model, shown);
    await hearing.begin(rate);
    return hearing;
  }

  async function guarded(work) {
    const mine = (turn += 1);
    try {
      await started;
      if (model) await work();
    } catch (problem) {
      if (mine !== turn) return; // another sound has ended this one's session
      await stop();
      if (problem.status !== 401) tell(error, problem);
    }
  }

  async function hearFile(file) {
    byId("hear-meta").textContent = "";
    await stop();
    await guarded(async () => {
      const rate = model.inputs.sample_rate;
      const samples = await fileSamples(file, rate);
      const one = await begin(rate);
      const piece = Math.round(PIECE_S * rate);
      for (let at = 0; at < samples.length && one === hearing; at += piece) await one.feed(samples.subarray(at, at + piece));
      if (one === hearing) await one.feed(new Int16Array(0), true);
    });
  }

  async function stop() {
    const one = recording;
    recording = null;
    speak.textContent = "Speak";
    one?.stop();
  }

  async function listen() {
    await guarded(async () => {
      const rate = 2 * model.inputs.sample_rate;
      const sound = await microphone(rate, Math.round(PIECE_S * rate));
      recording = sound;
      speak.textContent = "Stop";
      const one = await begin(rate);
      for await (const samples of sound) {
        if (one !== hearing) return;
        await one.feed(samples);
      }
      await one.feed(new Int16Array(0), true);
    });
  }

  function takeModel(chosen) {
    model = chosen;
    const allowed = isSecureContext && navigator.mediaDevices !== undefined;
    speak.disabled = !allowed;
    byId("hear-hint").textContent = allowed ? "" : "A browser gives the microphone to pages on https or localhost alone.";
  }

  const start = () => (started = offerModels("transcribe", {
    select: byId("hear-model"), error, none: "No model that hears is served here", sessions: true, take: takeModel,
  }));

  dropZone(byId("hear-drop"), byId("hear-file"), hearFile);
  speak.addEventListener("click", () => (recording ? stop() : listen()));
  start();
  return { keyChanged: start, hide: stop };
}
