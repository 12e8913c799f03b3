// A piano roll on a canvas: notes of several voices, the melody that was clicked in, a mark and a playhead.

import { color } from "../../js/dom.js";

export const PALETTE = ["warm", "accent", "good", "naive", "ink"];
const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
const BLACK = new Set([1, 3, 6, 8, 10]);
const LEFT = 34;

export const pitchName = (pitch) => (pitch === null ? "rest" : `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`);

export class Roll {
  /** ``onPick(step, pitch)``: a note was clicked, or Enter pressed; ``onMark(step, pitch)``: the mark moved. */
  constructor(canvas, { onPick, onMark }) {
    this.canvas = canvas;
    this.steps = 64;
    this.bar = 16;
    this.beat = 4;
    this.low = 48;
    this.high = 84;
    this.mark = { step: 0, pitch: 67 };
    this.head = null;
    this.notes = [];
    this.melody = [];
    this.onMark = onMark;
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const step = Math.floor(((event.clientX - box.left - LEFT) / (box.width - LEFT)) * this.steps);
      const pitch = this.high - Math.floor(((event.clientY - box.top) / box.height) * (this.high - this.low + 1));
      this.put(step, pitch);
      onPick(this.mark.step, this.mark.pitch);
    });
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const move = moves[event.key];
      if (!move && event.key !== "Enter") return;
      event.preventDefault();
      if (!move) onPick(this.mark.step, this.mark.pitch);
      else this.put(this.mark.step + move[0] * (event.shiftKey ? this.beat : 1), this.mark.pitch + move[1] * (event.shiftKey ? 12 : 1));
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  put(step, pitch) {
    this.mark = { step: Math.min(Math.max(step, 0), this.steps - 1), pitch: Math.min(Math.max(pitch, this.low), this.high) };
    this.onMark(this.mark.step, this.mark.pitch);
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const row = height / (this.high - this.low + 1);
    const column = (width - LEFT) / this.steps;
    const x = (step) => LEFT + step * column;
    const y = (pitch) => (this.high - pitch) * row;
    pen.fillStyle = color("sunken");
    for (let pitch = this.low; pitch <= this.high; pitch += 1) {
      if (BLACK.has(pitch % 12)) pen.fillRect(LEFT, y(pitch), width, row);
    }
    pen.fillStyle = color("soft");
    pen.font = "11px sans-serif";
    for (let pitch = this.low; pitch <= this.high; pitch += 1) {
      if (pitch % 12 === 0) pen.fillText(pitchName(pitch), 4, y(pitch) + row - 1);
    }
    for (let step = 0; step <= this.steps; step += this.beat) {
      pen.fillStyle = color(step % this.bar ? "line" : "soft");
      pen.fillRect(x(step), 0, 1, height);
    }
    for (const { pitch, start, duration, voice } of this.notes) {
      pen.fillStyle = color(PALETTE[voice % PALETTE.length]);
      pen.fillRect(x(start) + 0.5, y(pitch), Math.max(1, duration * column - 1), Math.max(2, row - 1));
    }
    pen.strokeStyle = color("warm");
    pen.lineWidth = 2;
    for (const { pitch, start, duration } of this.melody) pen.strokeRect(x(start) + 1, y(pitch), duration * column - 2, row);
    pen.strokeStyle = color("ink");
    pen.lineWidth = 1;
    pen.strokeRect(x(this.mark.step), y(this.mark.pitch), column, row);
    if (this.head !== null) {
      pen.fillStyle = color("ink");
      pen.fillRect(x(this.head), 0, 2, height);
    }
  }
}
