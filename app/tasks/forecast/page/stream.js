// The switch "Stream it": a series goes through a session, one step a point.

import { SessionLine, ask } from "../../js/api.js";
import { naive, parseTime } from "./csv.js";
import { calm, nextFrame, pause } from "../../js/dom.js";
import { moment } from "../../js/format.js";
import { closeSession, openSession } from "../../js/own_sessions.js";

const SURPRISING = 3;
const LEAST_WARM = 8;
const MOST_WARM = 52;
const WINDOW = 168;
const IN_FLIGHT = 32;
const DRAW_MS = 45;
const TTL_S = 900;

let streamed = null; // the session of the last stream; it stays until the next one, or until the page is left

/**
 * Feed a series through a session, and draw the fan as it moves.
 *
 * @param {object} task - series, column, wanted (horizon, levels, season, model), view, fan,
 *   signal, pace (points a second, 0 for no pause), and what is told: say, surprise, present
 */
export async function streamSeries(task) {
  const { series, column, wanted, signal } = task;
  const { freq } = series.table;
  const timed = column.times !== null && freq !== null;
  const options = {};
  if (timed) options.freq = freq.code;
  if (wanted.season !== null) options.season = Number.parseInt(wanted.season, 10);
  closeSession(streamed);
  const session = await openSession("forecast", {
    ...(wanted.model ? { model: wanted.model } : {}),
    task: "forecast",
    ttl_seconds: TTL_S,
    metadata: { series: `${series.name}: ${column.name}`.slice(0, 200) },
    options,
  }, signal);
  streamed = session.id;
  const line = new SessionLine(session.id);
  signal.addEventListener("abort", () => line.close());
  const run = new Run(task, session.id, timed);
  try {
    await run.feed(line);
  } catch (problem) {
    if (!signal.aborted) throw problem;
  } finally {
    line.close();
    await run.finish();
  }
}

class Run {
  constructor(task, id, timed) {
    this.task = task;
    this.id = id;
    this.timed = timed;
    this.x = [];
    this.observed = [];
    this.low = [];
    this.high = [];
    this.scores = [];
    this.anomalies = [];
    this.found = 0;
    // Before it has seen a season, or a day of hours, everything is new to it.
    this.warm = Math.min(MOST_WARM, Math.max(LEAST_WARM, task.view.season));
    this.ahead = null;
    this.drawn = 0;
  }

  async feed(line) {
    const { column, pace, signal } = this.task;
    const began = performance.now();
    // Without a pace many points are on their way at once, as from any client that is in a hurry.
    const block = pace ? 1 : IN_FLIGHT;
    for (let at = 0; at < column.values.length && !signal.aborted; at += block) {
      const values = column.values.slice(at, at + block);
      const frames = await Promise.all(values.map((value, place) =>
        line.feed(this.timed ? { value, time: column.labels[at + place] } : value)));
      frames.forEach((frame, place) => this._note(at + place, values[place], frame.outputs.at(-1)));
      if (pace && !calm()) {
        const due = began + ((at + 1) * 1000) / pace;
        if (due > performance.now()) await pause(due - performance.now());
      }
      if (performance.now() - this.drawn > DRAW_MS) {
        await this._draw();
        await nextFrame();
      }
    }
    this.took = performance.now() - began;
  }

  _note(at, value, output) {
    const { column, view, surprise } = this.task;
    const x = view.time ? column.times[at] : at;
    const levels = output.forecast ? Object.keys(output.forecast).sort((a, b) => a - b) : [];
    const low = levels.length ? output.forecast[levels[0]] : null;
    const high = levels.length ? output.forecast[levels.at(-1)] : null;
    const odd = at >= this.warm && output.anomaly_score !== null && output.anomaly_score >= SURPRISING;
    this.x.push(x);
    this.observed.push(value);
    this.low.push(low);
    this.high.push(high);
    this.scores.push(output.anomaly_score);
    this.anomalies.push(odd ? value : null);
    if (odd) {
      this.found += 1;
      surprise({ when: view.time ? moment(x, view.withTime) : `step ${at + 1}`, value, low, high, score: output.anomaly_score });
    }
  }

  async _draw() {
    const { wanted, view, fan, say, column } = this.task;
    this.drawn = performance.now();
    if (this.observed.some((one) => one !== null)) {
      const { forecast } = await ask(`/sessions/${this.id}/forecast`, { json: { horizon: wanted.horizon, levels: wanted.levels } });
      const x = view.time && forecast.timestamps ? forecast.timestamps.map(parseTime) : forecast.mean.map((_, at) => this._following(at));
      this.ahead = { x, mean: forecast.mean, quantiles: forecast.quantiles, naive: naive(this.observed, wanted.horizon, view.season) };
    }
    const from = Math.max(0, this.x.length - WINDOW);
    fan.draw({
      ...view,
      x: this.x.slice(from),
      observed: this.observed.slice(from),
      ribbon: { low: this.low.slice(from), high: this.high.slice(from), label: "expected one step before, 95 %" },
      scores: this.scores.slice(from),
      anomalies: this.anomalies.slice(from),
      ahead: this.ahead,
    });
    say(`${this.x.length} of ${column.values.length} points fed, ${this.found} surprising.`);
  }

  /** Where a step ahead lies when the series has times of no regular spacing, or none. */
  _following(at) {
    const gap = this.x.length > 1 ? this.x.at(-1) - this.x.at(-2) : 1;
    return this.x.at(-1) + gap * (at + 1);
  }

  async finish() {
    if (!this.x.length) return;
    const { say, present, column } = this.task;
    try {
      await this._draw();
    } catch {
      // the reason is told by whoever began
    }
    if (this.ahead) present(this.ahead);
    const words = `${this.x.length} of ${column.values.length} points fed to session ${this.id}, ${this.found} surprising.`;
    say(this.took && !this.task.pace ? `${words} ${Math.round((this.x.length * 1000) / this.took)} points a second.` : words);
  }
}
