// A text of tokens that can be pointed at, and walked through with the keyboard.

import { make } from "../../js/dom.js";

const UNLIKELY = 0.05;

export class TokenText {
  /**
   * @param {HTMLElement} box
   * @param {object} told - point(index|null) while hovering, place(index|null) when the caret is set
   */
  constructor(box, { point, place }) {
    this.box = box;
    this.place = place;
    this.caret = null;
    this.tokens = [];
    this.spans = [];
    this._marked = null;
    const indexOf = (event) => {
      const at = this.spans.indexOf(event.target);
      return at < 0 ? null : at;
    };
    box.addEventListener("pointerover", (event) => point(indexOf(event) ?? this.caret));
    box.addEventListener("pointerleave", () => point(this.caret));
    box.addEventListener("click", (event) => {
      const index = indexOf(event);
      if (index !== null) this.setCaret(index);
    });
    box.addEventListener("keydown", (event) => this._key(event));
  }

  /** Show tokens; those that were shown already stay as they are. */
  show(tokens) {
    let same = 0;
    while (same < tokens.length && same < this.tokens.length && tokens[same] === this.tokens[same]) same += 1;
    this.spans.splice(same).forEach((one) => one.remove());
    const low = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
    for (const token of tokens.slice(same)) {
      const unlikely = token.p !== null && token.p < UNLIKELY && !token.prompt && token.text.trim() !== "";
      const span = make("span", { class: [token.prompt ? "prompt" : "", unlikely ? "unlikely" : "", token.text === "\n" ? "newline" : ""].join(" ").trim() }, token.text);
      this.spans.push(span);
      this.box.append(span);
    }
    this.tokens = tokens.slice();
    if (low) this.box.scrollTop = this.box.scrollHeight;
  }

  setCaret(index) {
    if (this.caret !== null) this.spans[this.caret]?.classList.remove("caret");
    this.caret = index;
    if (index !== null) {
      this.spans[index]?.classList.add("caret");
      this.spans[index]?.scrollIntoView({ block: "nearest" });
    }
    this.place(index);
  }

  /** Mark a token for a moment, as when its column is pointed at. */
  mark(index) {
    if (this._marked !== null && this._marked !== this.caret) this.spans[this._marked]?.classList.remove("caret");
    this._marked = index;
    if (index !== null) this.spans[index]?.classList.add("caret");
  }

  _key(event) {
    const last = this.tokens.length - 1;
    if (last < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.caret ?? (event.key === "ArrowLeft" || event.key === "ArrowUp" ? last + 1 : -1);
    const to = {
      ArrowLeft: Math.max(0, at - 1),
      ArrowRight: Math.min(last, at + 1),
      ArrowUp: Math.max(0, at - 20),
      ArrowDown: Math.min(last, at + 20),
      Home: 0,
      End: last,
      Escape: null,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.setCaret(to);
  }
}
