// The switch "Stream it": the rows go through a session, one call a row.

import { SessionLine } from "../../js/api.js";
import { calm, nextFrame, pause } from "../../js/dom.js";
import { closeSession, openSession } from "../../js/own_sessions.js";

const IN_FLIGHT = 32;
const DRAW_MS = 60;
const TTL_S = 900;

let streamed = null; // the session of the last stream; it stays until the next one, or until the page is left

/**
 * Feed inputs through a session.
 *
 * @param {object} task - model, inputs (of each call), signal, pace (calls a second, 0 for no pause), and ``show``, which is
 *   told all outputs so far
 * @returns {Promise<string>} the session's id
 */
export async function streamRows({ model, inputs, signal, pace, show }) {
  closeSession(streamed);
  const { id } = await openSession("sequence", { model, ttl_seconds: TTL_S }, signal);
  streamed = id;
  const line = new SessionLine(id);
  signal.addEventListener("abort", () => line.close());
  const steps = [];
  const began = performance.now();
  let drawn = 0;
  const block = pace ? 1 : IN_FLIGHT;
  try {
    for (let at = 0; at < inputs.length && !signal.aborted; at += block) {
      const frames = await Promise.all(inputs.slice(at, at + block).map((one) => line.feed(one)));
      for (const frame of frames) steps.push(...frame.outputs);
      const due = began + ((at + 1) * 1000) / pace;
      if (pace && !calm() && due > performance.now()) await pause(due - performance.now());
      if (performance.now() - drawn > DRAW_MS) {
        show(steps);
        await nextFrame();
        drawn = performance.now();
      }
    }
  } catch (problem) {
    if (!signal.aborted) throw problem;
  } finally {
    line.close();
    show(steps);
  }
  return id;
}
