// One text with the session behind it: written token by token, rewound, forked.

import { ask, events } from "../../js/api.js";
import { closeSession, forkSession, openSession } from "../../js/own_sessions.js";

const TTL_S = 1800;
const ALTERNATIVES = 5;
// The most tokens that one call may feed is a setting of the server; its default is 1000.
const CALL_TOKENS = 500;
// A prompt up to this long is fed token by token, so that its states can be seen too.
const WATCHED_PROMPT = 120;
const BEGIN = "begin";

/** A token as it is kept: text, probability (null where unknown), what else was likely, and its states by field. */
const told = (output) => ({ text: output.token, p: output.logprob === null ? null : Math.exp(output.logprob), top: [], rows: {}, prompt: true });

const drawn = (one) => ({
  text: one.token,
  p: Math.exp(one.logprob),
  top: one.top.map((other) => ({ text: other.token, p: Math.exp(other.logprob) })),
  rows: {},
  prompt: false,
});

export class Branch {
  constructor(model, name, id) {
    this.model = model;
    this.name = name;
    this.id = id;
    this.tokens = [];
    this.step = 0;
    this.base = null; // tokens at the snapshot; null while there is none
  }

  static async open(model, name) {
    const info = await openSession("generate", { model, task: "generate", ttl_seconds: TTL_S });
    return new Branch(model, name, info.id);
  }

  leave() {
    closeSession(this.id);
  }

  get text() {
    return this.tokens.map((one) => one.text).join("");
  }

  _path(rest) {
    return `/sessions/${encodeURIComponent(this.id)}${rest}`;
  }

  /** Feed the prompt; calls ``seen`` after each token, or after all of a long one. */
  async begin(prompt, fields, seen, signal) {
    const letters = [...prompt];
    const alone = letters.length <= WATCHED_PROMPT;
    const parts = alone ? letters : slices(prompt);
    for (const part of parts) {
      const answer = await ask(this._path("/steps"), { json: { inputs: part }, signal });
      this.tokens.push(...answer.outputs.map(told));
      this.step = answer.step;
      if (alone) await this.look(fields);
      await seen();
    }
    if (!alone) await this.look(fields);
    if (prompt) await this._keep();
  }

  async _keep() {
    await ask(this._path("/snapshots"), { json: { name: BEGIN } });
    this.base = this.tokens.length;
  }

  /** Draw one token and keep it; false when the text has ended. */
  async write(sampling, seed, signal) {
    const answer = await ask(this._path("/generate"), {
      json: { ...sampling, seed, max_tokens: 1, logprobs: ALTERNATIVES, advance: true },
      signal,
    });
    this.step = answer.step;
    const [choice] = answer.choices;
    this.tokens.push(...choice.logprobs.map(drawn));
    return choice.logprobs.length > 0;
  }

  /**
   * Many tokens in one stream, kept at its end.
   *
   * @returns {Promise<string>} why it ended. When it was aborted, what had come is fed to the
   *   session, so that it stands where the text ends.
   */
  async stream(sampling, seed, max, seen, signal) {
    const before = this.tokens.length;
    const body = { ...sampling, seed, max_tokens: max, logprobs: ALTERNATIVES, advance: true, stream: true };
    let reason = "stopped";
    try {
      for await (const frame of events(this._path("/generate"), body, signal)) {
        if (frame.type === "token") {
          this.tokens.push(...frame.logprobs.map(drawn));
          await seen();
        } else if (frame.type === "done") {
          this.step = frame.step;
          reason = frame.finish_reason;
        }
      }
    } catch (problem) {
      if (problem.name !== "AbortError") {
        this.tokens.length = before;
        throw problem;
      }
      await this._settle(before);
    }
    return reason;
  }

  /** After an abort the session is where it was, unless it was just about to be written. */
  async _settle(before) {
    const { step } = await ask(this._path(""));
    if (step === this.step) await this._feed(before, this.tokens.length);
    else this.step = step;
  }

  async _feed(from, to) {
    for (const part of slices(this.tokens.slice(from, to).map((one) => one.text).join(""))) {
      this.step = (await ask(this._path("/steps"), { json: { inputs: part } })).step;
    }
  }

  /** Read the state into the last token's ``rows``. */
  async look(fields) {
    const last = this.tokens.at(-1);
    if (!last || !fields.length) return;
    const answer = await ask(this._path(`/row?fields=${fields.map(encodeURIComponent).join(",")}`));
    for (const { name, values } of answer.fields) last.rows[name] = Float32Array.from(values);
  }

  /** Go back to just after the first ``length`` tokens; what lies beyond is forgotten. */
  async rewind(length) {
    const kept = this.base !== null && length >= this.base;
    await ask(this._path("/rewind"), { json: { to: kept ? BEGIN : 0 } });
    this.step = 0;
    await this._feed(kept ? this.base : 0, length);
    this.tokens.length = length;
    const { step } = await ask(this._path(""));
    this.step = step;
  }

  /** An independent copy that stands just after the first ``length`` tokens. */
  async fork(name, length) {
    const metadata = { parent: this.id, at_step: this.step - (this.tokens.length - length) };
    const info = await forkSession("generate", this.id, { ttl_seconds: TTL_S, metadata });
    const copy = new Branch(this.model, name, info.id);
    copy.tokens = this.tokens.slice();
    copy.step = info.step;
    // Snapshots stay with the original, so the copy goes back by way of its start.
    if (length < copy.tokens.length) await copy.rewind(length);
    copy.from = length;
    return copy;
  }
}

function slices(text) {
  const letters = [...text];
  const parts = [];
  for (let at = 0; at < letters.length; at += CALL_TOKENS) parts.push(letters.slice(at, at + CALL_TOKENS).join(""));
  return parts;
}
