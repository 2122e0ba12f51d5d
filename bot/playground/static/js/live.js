// What is being written right now: dots while nothing is there, then the words as they come.
import { element } from "./dom.js";
import { formatted } from "./format.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const CATCH_UP_MS = 650;

export class Live {
  constructor() {
    this.row = null;
    this.kind = "";
    this.text = "";
    this.shown = 0;
  }

  // Returns the element to show at the end of the chat, or null.
  update(draft, typing) {
    const kind = draft ? (draft.text ? "draft" : "thinking") : typing ? "dots" : "";
    if (kind !== this.kind) this.begin(kind);
    if (draft?.text) this.grow(draft);
    return this.row;
  }

  begin(kind) {
    this.kind = kind;
    this.text = "";
    this.shown = 0;
    this.row = null;
    if (!kind) return;
    this.row = element("article", kind === "thinking" ? "row first last draft thinking" : `row first last ${kind}`);
    // The finished message is read out, not each of its pieces.
    this.row.setAttribute("aria-live", "off");
    this.bubble = element("div", "bubble");
    this.bubble.dir = "auto";
    if (kind === "dots") this.bubble.append(element("i"), element("i"), element("i"));
    else this.bubble.append(element("span", "words", kind === "thinking" ? "Thinking…" : ""));
    this.row.append(this.bubble);
  }

  grow(draft) {
    const more = draft.text.startsWith(this.text);
    this.entities = draft.entities;
    if (!more) this.shown = 0;
    this.from = this.shown;
    this.text = draft.text;
    this.since = performance.now();
    if (still.matches || document.hidden || !more) this.draw(this.text.length);
    else requestAnimationFrame((now) => this.step(now));
    // A busy browser may give no frame for seconds; the words do not wait for it.
    clearTimeout(this.late);
    this.late = setTimeout(() => this.kind === "draft" && this.draw(this.text.length), 2 * CATCH_UP_MS);
  }

  step(now) {
    if (this.kind !== "draft") return;
    const share = Math.min(Math.max((now - this.since) / CATCH_UP_MS, 0), 1);
    this.draw(Math.round(this.from + (this.text.length - this.from) * share));
    if (share < 1 && !this.waiting) {
      this.waiting = true;
      requestAnimationFrame((next) => { this.waiting = false; this.step(next); });
    }
  }

  draw(count) {
    // Never between the two halves of a character.
    if (/[\uD800-\uDBFF]/.test(this.text[count - 1] || "")) count += 1;
    if (count === this.shown && this.bubble.textContent) return;
    const grown = this.onGrow?.();
    this.shown = count;
    this.bubble.replaceChildren(formatted(this.text.slice(0, count), this.entities));
    grown?.();
  }
}
