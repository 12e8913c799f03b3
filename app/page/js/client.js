// A client of a server of rnnserve: in a browser, where the page uses it too, and in Node 20 and later. One file, no build step.
//
//     import { Client } from "SERVER/static/client.js";
//
//     Client --HTTP--> answers, streams of frames, Session
//     Session.feed --HTTP, by seq--> exactly once;  Session.connect --WebSocket--> SessionLine, quicker, at most once

/** Statuses after which the same request may be answered. */
const AGAIN = [429, 502, 503, 504];
const LONGEST_RETRY_AFTER_S = 30;

/** How often and how fast a request is sent again: the first attempt counts, and the pause doubles. */
const RETRY = { attempts: 10, firstMs: 50, longestMs: 2000 };

/** What the server, or the lack of one, has to say; ``fields`` are those of a problem document, or of an error frame. */
export class Problem extends Error {
  constructor(fields) {
    super(fields.detail || fields.title || "The request failed");
    this.name = "Problem";
    this.title = fields.title || "The request failed";
    this.detail = fields.detail || "";
    this.status = fields.status || 0;
    this.kind = (fields.problem || fields.type || "").split(":").pop();
    this.errors = fields.errors || [];
    this.requestId = fields.request_id || null;
    this.retryAfter = fields.retry_after_s ?? null;
    this.reason = fields.reason || null;
    this.step = fields.step ?? null;
    this.expected = fields.expected ?? null;
    this.attempts = 1;
  }

  static unreachable() {
    const detail = "It may have been stopped, or the connection was lost. Nothing here has been lost; try again.";
    return new Problem({ type: "unreachable", title: "The server does not answer", detail });
  }
}

const segment = encodeURIComponent;

/** A text that no other client draws; of secure contexts alone is ``randomUUID``. */
const drawn = () => [...crypto.getRandomValues(new Uint8Array(18))].map((one) => one.toString(16).padStart(2, "0")).join("");

/** Fields of a request as a query: lists by commas, nothing for null. */
function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

async function jsonOf(answer) {
  if (answer.status === 204) return null;
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem({ title: "This is no server of rnnserve", detail: `${answer.url} answered with something that is no JSON.` });
  }
}

async function problemOf(answer) {
  let fields = await answer.json().catch(() => ({})); // a proxy in between may answer with something else
  if (fields.error) fields = { ...fields, detail: fields.error.message || String(fields.error) };
  return new Problem({ title: `The server answered with status ${answer.status}`, ...fields, status: answer.status });
}

export class Client {
  /**
   * @param {string|URL} url - of the server, with the path of a proxy in front of it if there is one
   * @param {object} options
   *   key: an API key; may be set later too
   *   timeoutMs: until one attempt at an answer has failed; 0 for none. A stream has none
   *   retry: {attempts, firstMs, longestMs}, as far as they differ from 10, 50 and 2000
   *   WebSocket: a class, where there is none of its own (Node 20), such as that of the package ws
   */
  constructor(url, { key = null, timeoutMs = 60_000, retry = {}, WebSocket = globalThis.WebSocket } = {}) {
    this.url = new URL(url);
    if (!/^https?:$/.test(this.url.protocol)) throw new TypeError(`the address is ${url}; it must begin with http:// or https://`);
    if (!this.url.pathname.endsWith("/")) this.url.pathname += "/";
    this.key = key;
    this.timeoutMs = timeoutMs;
    this.retry = { ...RETRY, ...retry };
    this.WebSocket = WebSocket;
  }

  /** The address of a path of the API. */
  address(path) {
    return new URL(path.replace(/^\//, ""), this.url);
  }

  /**
   * Send a request, again where that may help; the answer is a Response with a good status.
   *
   * Every request of the API may be sent again: one that changes something needs its ``seq``, or an ``id`` of its own.
   * Throws a Problem, or an AbortError.
   */
  async send(path, { method, json, body, type, accept, last, signal, keepalive, timeoutMs = 0, read = (answer) => answer } = {}) {
    const headers = {};
    if (json !== undefined) headers["content-type"] = "application/json";
    else if (type) headers["content-type"] = type;
    if (accept) headers.accept = accept;
    if (last) headers["last-event-id"] = last;
    if (this.key !== null) headers.authorization = `Bearer ${this.key}`;
    const sent = json === undefined ? body : JSON.stringify(json);
    const options = { method: method || (sent === undefined ? "GET" : "POST"), headers, body: sent, keepalive };
    for (let attempt = 1; ; attempt += 1) {
      let problem;
      try {
        const answer = await fetch(this.address(path), { ...options, signal: timed(signal, timeoutMs) });
        if (answer.ok) return await read(answer);
        problem = await problemOf(answer);
        problem.retryAfter ??= Number(answer.headers.get("retry-after")) || null;
      } catch (error) {
        if (error.name === "AbortError" || error instanceof Problem) throw error;
        problem = Problem.unreachable();
      }
      problem.attempts = attempt;
      if (attempt >= this.retry.attempts || !mayHelp(problem)) throw problem;
      await this._pause(attempt, problem.retryAfter, signal);
    }
  }

  /** The same, and the JSON of the answer; null where it has none. */
  ask(path, options) {
    return this.send(path, { timeoutMs: this.timeoutMs, read: jsonOf, ...options });
  }

  /**
   * The answer of a task; its fields are those of the API.
   *
   * With a table, a text or a File of CSV, the other fields go beside it.
   */
  answer(task, fields = {}, table = null) {
    const path = `/${segment(task)}`;
    return table === null ? this.ask(path, { json: fields }) : this.ask(path + query(fields), { body: table, type: "text/csv" });
  }

  /** The frames of a task that streams, as an async generator. */
  stream(task, fields = {}, signal) {
    return this.events(`/${segment(task)}`, { ...fields, stream: true }, signal);
  }

  /** The frames of a server-sent stream up to the done frame; a broken one is resumed. An error frame is thrown as a Problem. */
  async *events(path, json, signal) {
    let last = "";
    for (let attempt = 1; ; attempt += 1) {
      let problem;
      const answer = await this.send(path, { json, signal, last, accept: "text/event-stream" });
      try {
        for await (const { id, frame } of framesOf(answer.body)) {
          if (frame.type === "error") throw new Problem(frame);
          last = id || last;
          attempt = 1;
          yield frame;
          if (frame.type === "done") return;
        }
        problem = Problem.unreachable();
      } catch (error) {
        if (error.name === "AbortError") throw error;
        problem = error instanceof Problem ? error : Problem.unreachable();
      }
      if (attempt >= this.retry.attempts || !mayHelp(problem)) throw problem;
      await this._pause(attempt, problem.retryAfter, signal);
    }
  }

  /** Every version of every model, those included that do not answer at present. */
  async models() {
    return (await this.ask("/models")).models;
  }

  /** What one model takes, gives and measured: NAME, NAME@VERSION or NAME@LABEL. */
  model(name) {
    return this.ask(`/models/${segment(name)}`);
  }

  /** Open a session: ``{task}`` or ``{model}``, ``options``, ``metadata``, ... */
  create(fields) {
    return this._opened("/sessions", fields);
  }

  /** A session that exists, wherever it stands. */
  async session(id) {
    const info = await this.ask(`/sessions/${segment(id)}`);
    return new Session(this, info.id, info.step);
  }

  /** Create under an id that is known beforehand, so that a lost answer is not a lost session. */
  async _opened(path, fields) {
    const id = fields.id ?? drawn();
    try {
      const info = await this.ask(path, { json: { ...fields, id } });
      return new Session(this, info.id, info.step);
    } catch (problem) {
      // An earlier attempt may have made it.
      if (problem.status !== 409 || (fields.id !== undefined && problem.attempts === 1)) throw problem;
      return this.session(id);
    }
  }

  async _pause(attempt, askedS, signal) {
    const longest = Math.min(this.retry.longestMs, this.retry.firstMs * 2 ** (attempt - 1));
    const asked = 1000 * Math.min(askedS ?? 0, LONGEST_RETRY_AFTER_S);
    await new Promise((resolve) => setTimeout(resolve, Math.max(asked, longest * (0.5 + Math.random() / 2))));
    signal?.throwIfAborted();
  }
}

const mayHelp = (problem) => problem.kind === "unreachable" || AGAIN.includes(problem.status);

/** A signal that also aborts after a time, which is a failure that may be tried again. */
function timed(signal, timeoutMs) {
  if (!timeoutMs) return signal;
  return AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]);
}

/** Server-sent events as {id, frame}. */
async function* framesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value;
      let end;
      while ((end = held.indexOf("\n\n")) >= 0) {
        const lines = held.slice(0, end).split("\n");
        held = held.slice(end + 2);
        const of = (name) => lines.filter((line) => line.startsWith(name)).map((line) => line.slice(name.length).trimStart());
        const data = of("data:");
        if (data.length) yield { id: of("id:")[0], frame: JSON.parse(data.join("\n")) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** A session and how far it is; made by a Client. */
export class Session {
  constructor(client, id, step) {
    this.client = client;
    this.id = id;
    this.step = step;
    this.path = `/sessions/${segment(id)}`;
    this._last = Promise.resolve();
  }

  /**
   * Apply inputs exactly once: sent again under the same ``seq`` until it is answered, one call after the other.
   *
   * Throws a Problem of status 409 where somebody else feeds the session too (refresh learns where it is), and of 410
   * where it has ended.
   */
  feed(inputs) {
    const fed = this._last.then(async () => this._stepped(await this._ask("/steps", { json: { seq: this.step + 1, inputs } })));
    this._last = fed.catch(() => {});
    return fed;
  }

  /** What a task answers from the present state; an action that moves the session needs its ``seq``. */
  async answer(action, fields = {}) {
    return this._stepped(await this._ask(`/${segment(action)}`, { json: fields }));
  }

  /** The same frame by frame, where the action streams; then refresh learns where the session is. */
  frames(action, fields = {}, signal) {
    return this.client.events(`${this.path}/${segment(action)}`, { ...fields, stream: true }, signal);
  }

  info() {
    return this._ask("");
  }

  /** Learn from the server where the session is. */
  async refresh() {
    return this._stepped(await this.info()).step;
  }

  /** An independent copy of the present state. */
  fork(fields = {}) {
    return this.client._opened(`${this.path}/fork`, fields);
  }

  /** Go back to a snapshot, by name or step, or to the start (0). */
  async rewind(to) {
    return this._stepped(await this._ask("/rewind", { json: { to } })).step;
  }

  /** The portable state, to keep, or to open a session from. */
  async state() {
    return (await this._ask("/state")).state;
  }

  /** End it; one that has been closed already is no matter. */
  async close() {
    try {
      await this._ask("", { method: "DELETE" });
    } catch (problem) {
      if (problem.status !== 410 || problem.reason !== "closed") throw problem;
    }
  }

  /** A WebSocket to it. */
  connect() {
    return new SessionLine(this.client, this.id);
  }

  _ask(path, options) {
    return this.client.ask(this.path + path, options);
  }

  _stepped(answer) {
    this.step = answer.step ?? this.step;
    return answer;
  }
}

const base64url = (text) =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** ``WS /sessions/{id}``: calls in order, many in flight, each answered by a promise. It is not opened again when it breaks. */
export class SessionLine {
  constructor(client, id) {
    if (!client.WebSocket) throw new TypeError("this JavaScript has no WebSocket; hand one in: new Client(url, { WebSocket })");
    this.id = id;
    this._waiting = [];
    this._closed = null;
    const url = client.address(`/sessions/${segment(id)}`);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    // A browser cannot set a header on a socket, so the key travels as a subprotocol.
    const protocols = client.key === null ? [] : ["rnnserve", `rnnserve.key.${base64url(client.key)}`];
    this._socket = new client.WebSocket(url, protocols);
    this.ready = new Promise((resolve, reject) => {
      this._hello = { resolve, reject };
    });
    this.ready.catch(() => {}); // whoever feeds the line is told too
    this._socket.onmessage = (event) => this._take(JSON.parse(event.data));
    this._socket.onclose = (event) => this._end(event);
    this._socket.onerror = () => {}; // what follows is the end
  }

  /** Feed inputs; resolves with the output frame. Without a number, so at most once. */
  async feed(inputs) {
    await this.ready;
    if (this._closed) throw this._closed;
    return new Promise((resolve, reject) => {
      this._waiting.push({ resolve, reject });
      this._socket.send(JSON.stringify({ type: "step", inputs }));
    });
  }

  get open() {
    return this._closed === null;
  }

  close() {
    this._closed ??= new Problem({ title: "The connection was closed", detail: "on this side" });
    this._socket.close();
  }

  _take(frame) {
    if (frame.type === "hello") this._hello.resolve(frame);
    else if (frame.type === "outputs") frame.results.forEach((one) => this._take(one));
    else if (frame.type === "output") this._waiting.shift()?.resolve(frame);
    else if (frame.type === "error") this._waiting.shift()?.reject(new Problem(frame));
  }

  _end(event) {
    const stopping = { title: "The server is shutting down", detail: "The session is kept; try again in a moment." };
    this._closed ??= event.code === 1012 ? new Problem(stopping) : Problem.unreachable();
    this._hello.reject(this._closed);
    this._waiting.splice(0).forEach((one) => one.reject(this._closed));
  }
}
