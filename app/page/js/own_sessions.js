// Sessions that a panel opens for itself. They say where they come from, and end when the page is left.

import { ask, send } from "./api.js";

const open = new Set();

const note = (info) => {
  open.add(info.id);
  return info;
};

const origin = (panel, metadata) => ({ made_by: "page", panel, ...metadata });

export async function openSession(panel, { metadata, ...body }, signal) {
  return note(await ask("/sessions", { json: { ...body, metadata: origin(panel, metadata) }, signal }));
}

export async function forkSession(panel, id, { metadata, ...body }) {
  return note(await ask(`/sessions/${encodeURIComponent(id)}/fork`, { json: { ...body, metadata: origin(panel, metadata) } }));
}

/** End a session; nobody waits for that, and one that has ended already is no matter. */
export function closeSession(id) {
  if (!open.delete(id)) return;
  send(`/sessions/${encodeURIComponent(id)}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

addEventListener("pagehide", () => [...open].forEach(closeSession));
