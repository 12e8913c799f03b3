// The client of the server that the page comes from; and its key, which is in this module's memory only.

import { Client, SessionLine as Line } from "./client.js";

/** Asks once, since a person sees what went wrong; says where a key is needed. */
class PageClient extends Client {
  async send(path, options) {
    try {
      return await super.send(path, options);
    } catch (problem) {
      if (problem.status === 401) document.dispatchEvent(new CustomEvent("key-needed", { detail: { refused: this.key !== null } }));
      throw problem;
    }
  }
}

const client = new PageClient(new URL(".", document.baseURI), { timeoutMs: 0, retry: { attempts: 1 } });

export const hasKey = () => client.key !== null;

export function useKey(text) {
  client.key = text || null;
  document.dispatchEvent(new CustomEvent("key-changed"));
}

export const send = (path, options) => client.send(path, options);
export const ask = (path, options) => client.ask(path, options);
export const events = (path, json, signal) => client.events(path, json, signal);

export class SessionLine extends Line {
  constructor(id) {
    super(client, id);
  }
}

/** Milliseconds by name, from the Server-Timing header of an answer. */
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
    const ready = (await client.models()).filter((one) => one.status === "ready");
    return Promise.all(ready.map((one) => client.model(`${one.name}@${one.version}`)));
  })().catch((error) => {
    listed = null;
    throw error;
  });
  return listed;
}

document.addEventListener("key-changed", () => {
  listed = null;
});
