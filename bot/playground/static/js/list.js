// The chat as a list that is changed in place: only what is new is drawn, and who reads stays where they are.
import { byId, element } from "./dom.js";
import { day } from "./format.js";
import { refresh, row } from "./bubble.js";
import { Live } from "./live.js";

const NEAR = 90;

export class List {
  constructor(hooks) {
    this.chat = byId("chat");
    this.hooks = hooks;
    this.rows = new Map();
    this.messages = new Map();
    this.live = new Live();
    this.live.onGrow = () => (this.near() ? () => this.toEnd() : null);
    this.unseen = 0;
    this.chat.onscroll = () => this.marker();
    byId("down").onclick = () => this.toEnd("smooth");
    // What is at the end stays at the end when the keyboard opens or a picture arrives.
    new ResizeObserver(() => this.pinned && this.toEnd()).observe(this.chat);
    this.chat.addEventListener("load", () => this.pinned && this.toEnd(), true);
    this.pinned = true;
  }

  near() { return this.chat.scrollHeight - this.chat.scrollTop - this.chat.clientHeight < NEAR; }

  toEnd(behavior = "instant") { this.chat.scrollTo({ top: this.chat.scrollHeight, behavior }); }

  marker() {
    this.pinned = this.near();
    if (this.pinned) this.unseen = 0;
    const down = byId("down");
    down.hidden = this.pinned;
    if (this.unseen) down.dataset.count = this.unseen; else delete down.dataset.count;
  }

  update(state) {
    const follow = this.pinned, wasLive = this.live.kind === "draft";
    const gone = state.whole ? [...this.rows.keys()].filter((id) => !state.messages.some((m) => m.message_id === id)) : state.gone;
    gone.forEach((id) => this.remove(id));
    const fresh = state.messages.filter((message) => this.put(message, state.whole || wasLive));
    if (fresh.length || gone.length) this.arrange();
    this.intro(state);
    const live = this.live.update(state.draft, state.action === "typing");
    this.chat.querySelectorAll(":scope > .draft, :scope > .dots").forEach((old) => old !== live && old.remove());
    if (live && (live.parentNode !== this.chat || live.nextSibling)) this.chat.append(live);
    const mine = fresh.some((message) => message.from.id === state.me);
    if (follow || (mine && !state.whole)) this.toEnd();
    else this.unseen += fresh.length;
    this.marker();
  }

  // True when the message was not there before.
  put(message, quiet) {
    const id = message.message_id, before = this.messages.get(id), old = this.rows.get(id);
    this.messages.set(id, message);
    if (old) { refresh(old, before, message, this.hooks); return false; }
    const made = row(message, this.hooks), later = [...this.rows.keys()].filter((other) => other > id);
    if (!quiet) made.classList.add("fresh");
    this.rows.set(id, made);
    if (later.length) this.rows.get(Math.min(...later)).before(made);
    else this.chat.insertBefore(made, this.chat.querySelector(":scope > .draft, :scope > .dots"));
    return true;
  }

  remove(id) {
    this.rows.get(id)?.remove();
    this.rows.delete(id);
    this.messages.delete(id);
  }

  // Dates between days; tails and corners where a speaker changes or a pause was long.
  arrange() {
    this.chat.querySelectorAll(":scope > .date").forEach((old) => old.remove());
    let before = null;
    for (const made of this.chat.querySelectorAll(":scope > .row[data-id]")) {
      const message = this.messages.get(Number(made.dataset.id));
      const newDay = !before || day(before.message.date) !== day(message.date);
      const joins = !newDay && before.message.from.id === message.from.id && message.date - before.message.date < 300 && !before.message.reply_markup;
      if (newDay) made.before(element("div", "date", day(message.date)));
      made.classList.toggle("first", !joins);
      before?.made.classList.toggle("last", !joins);
      before = { made, message };
    }
    before?.made.classList.add("last");
  }

  intro(state) {
    this.chat.querySelector(":scope > .intro")?.remove();
    if (this.rows.size) return;
    const image = element("img"), start = element("button", "pill", "Start");
    image.src = "avatar.svg";
    image.alt = "";
    start.type = "button";
    start.onclick = () => this.hooks.say("/start");
    const about = state.description || "A program that listens. It is not a person, not a therapist and not for emergencies.";
    this.chat.prepend(element("div", "intro", image, element("h2", "", "Lanner"), element("p", "", about), start));
  }

  find(id) {
    const made = this.rows.get(id);
    if (!made) return;
    made.scrollIntoView({ block: "center", behavior: "smooth" });
    made.classList.remove("found");
    requestAnimationFrame(() => made.classList.add("found"));
  }
}
