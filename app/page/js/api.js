// The public API: requests, streams of events, sockets; and the key, which is in this module's memory only.

let key = null;

export const hasKey = () => key !== null;

export function useKey(text) {
  key = text || null;
  document.dispatchEvent(new CustomEvent("key-changed"));
}

/** What the server, or the lack of one, has to say. */
export class Problem extends Error {
  constructor(fields) {
    super(fields.detail || fields.title || "The request failed");
    this.title = fields.title || "The request failed";
    this.detail = fields.detail || "";
    this.status = fields.status || 0;
    this.kind = (fields.problem || fields.type || "").split(":").pop();
    this.errors = fields.errors || [];
    this.requestId = fields.request_id || null;
    this.retryAfter = fields.retry_after_s ?? null;
    this.reason = fields.reason || null;
  }

  static unreachable() {
    return new Problem({
      type: "unreachable",
      title: "The server does not answer",
      detail: "It may have been stopped, or the connection was lost. Nothing on this page has been lost; try again.",
    });
  }
}

const address = (path) => new URL(path.replace(/^\//, ""), document.baseURI);

function headers(extra = {}) {
  return key === null ? extra : { ...extra, authorization: `Bearer ${key}` };
}

async function problemOf(answer) {
  let fields = {};
  try {
    fields = await answer.json();
  } catch {
    // a proxy in between may answer with something else
  }
  if (fields.error) fields = { ...fields, detail: fields.error.message || String(fields.error) };
  const problem = new Problem({
    title: `The server answered with status ${answer.status}`,
    ...fields,
    status: answer.status,
  });
  if (answer.status === 401) {
    document.dispatchEvent(new CustomEvent("key-needed", { detail: { refused: key !== null } }));
  }
  return problem;
}

/** Send a request; the answer is a Response with a good status. Throws a Problem, or an AbortError. */
export async function send(path, { method, json, body, type, accept, signal, keepalive } = {}) {
  const options = { method: method || (json !== undefined || body !== undefined ? "POST" : "GET"), signal, keepalive };
  const own = {};
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    own["content-type"] = "application/json";
  } else if (body !== undefined) {
    options.body = body;
    own["content-type"] = type;
  }
  if (accept) own.accept = accept;
  options.headers = headers(own);
  let answer;
  try {
    answer = await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Problem.unreachable();
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

export async function ask(path, options) {
  const answer = await send(path, options);
  return answer.status === 204 ? null : answer.json();
}

/** The frames of a server-sent stream, as an async generator. An error frame is thrown as a Problem. */
export async function* events(path, json, signal) {
  const answer = await send(path, { json, signal, accept: "text/event-stream" });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      held += value;
      let end;
      while ((end = held.indexOf("\n\n")) >= 0) {
        const data = held.slice(0, end).split("\n").filter((line) => line.startsWith("data:"));
        held = held.slice(end + 2);
        if (!data.length) continue;
        const frame = JSON.parse(data.map((line) => line.slice(5).trimStart()).join("\n"));
        if (frame.type === "error") throw new Problem(frame);
        yield frame;
      }
    }
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw Problem.unreachable();
  } finally {
    reader.cancel().catch(() => {});
  }
}

const base64url = (text) =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** ``WS /sessions/{id}``: calls in order, each answered by a promise. */
export class SessionLine {
  constructor(id) {
    this.id = id;
    this._waiting = [];
    this._closed = null;
    const url = address(`/sessions/${encodeURIComponent(id)}`);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    // A browser cannot set a header on a socket, so the key travels as a subprotocol.
    const protocols = key === null ? [] : ["rnnserve", `rnnserve.key.${base64url(key)}`];
    this._socket = new WebSocket(url, protocols);
    this.ready = new Promise((resolve, reject) => {
      this._hello = { resolve, reject };
    });
    this.ready.catch(() => {}); // whoever feeds the line is told too
    this._socket.onmessage = (event) => this._take(JSON.parse(event.data));
    this._socket.onclose = (event) => this._end(event);
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
    this._closed = this._closed || new Problem({ title: "The connection was closed", detail: "by this page" });
    this._socket.close();
  }

  _take(frame) {
    if (frame.type === "hello") this._hello.resolve(frame);
    else if (frame.type === "outputs") frame.results.forEach((one) => this._take(one));
    else if (frame.type === "output") this._waiting.shift()?.resolve(frame);
    else if (frame.type === "error") this._waiting.shift()?.reject(new Problem(frame));
  }

  _end(event) {
    if (!this._closed) {
      this._closed =
        event.code === 1012
          ? new Problem({ title: "The server is shutting down", detail: "The session is kept; try again in a moment." })
          : Problem.unreachable();
    }
    this._hello.reject(this._closed);
    this._waiting.splice(0).forEach((one) => one.reject(this._closed));
  }
}

/** Milliseconds by name, from the Server-Timing header. */
export function serverTiming(answer) {
  const found = {};
  for (const part of (answer.headers.get("server-timing") || "").split(",")) {
    const match = /^\s*(\w+);dur=([\d.]+)/.exec(part);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

let listed = null;

/** Every model that answers requests, with its details; asked once, and again after a change of key. */
export function models() {
  listed ??= (async () => {
    const { models: summaries } = await ask("/models");
    const ready = summaries.filter((one) => one.status === "ready");
    return Promise.all(ready.map((one) => ask(`/models/${encodeURIComponent(`${one.name}@${one.version}`)}`)));
  })().catch((error) => {
    listed = null;
    throw error;
  });
  return listed;
}

document.addEventListener("key-changed", () => {
  listed = null;
});
