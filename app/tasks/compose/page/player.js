// Plays notes with Web Audio. What is to be played may grow meanwhile.

const AHEAD_S = 0.25;
const TICK_MS = 60;
const LOUDNESS = 0.16;

export class Player {
  /** ``seen(step)``: where it is, or null at the end. */
  constructor(seen) {
    this._seen = seen;
    this._timer = 0;
    this._context = null;
  }

  get playing() {
    return this._timer !== 0;
  }

  /** ``notes()``: all that are known, sorted by start; ``ended()``: their last step once it is known, else null. */
  play(notes, ended, stepSeconds, from = 0) {
    this.stop();
    this._context ??= new AudioContext();
    this._context.resume();
    this._out = this._context.createGain();
    this._out.gain.value = LOUDNESS;
    this._out.connect(this._context.destination);
    const began = this._context.currentTime + 0.1 - from * stepSeconds;
    let next = 0;
    this._timer = setInterval(() => {
      const now = this._context.currentTime;
      const known = notes();
      for (; next < known.length && began + known[next].start * stepSeconds < now + AHEAD_S; next += 1) {
        const note = known[next];
        if (note.start >= from) this._sound(note.pitch, Math.max(now, began + note.start * stepSeconds), note.duration * stepSeconds);
      }
      const step = (now - began) / stepSeconds;
      const end = ended();
      if (end !== null && step > end + 1) this.stop();
      else this._seen(Math.max(step, from));
    }, TICK_MS);
  }

  _sound(pitch, when, seconds) {
    const tone = this._context.createOscillator();
    const gain = this._context.createGain();
    tone.type = "triangle";
    tone.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
    gain.gain.setValueAtTime(0, when);
    gain.gain.linearRampToValueAtTime(1, when + 0.02);
    gain.gain.setTargetAtTime(0.4, when + 0.02, 0.5);
    gain.gain.setTargetAtTime(0, when + seconds, 0.04);
    tone.connect(gain).connect(this._out);
    tone.start(when);
    tone.stop(when + seconds + 0.3);
  }

  stop() {
    if (!this._timer) return;
    clearInterval(this._timer);
    this._timer = 0;
    this._out.disconnect();
    this._seen(null);
  }
}
