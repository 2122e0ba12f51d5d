// Short notices, and the bot's answers to presses.
import { byId, element } from "./dom.js";

export function toast(text) {
  const made = element("div", "toast", text);
  byId("toasts").append(made);
  setTimeout(() => made.remove(), Math.max(3500, text.length * 70));
}

export function alertBox(text) {
  byId("alert-text").textContent = text;
  if (!byId("alert").open) byId("alert").showModal();
}

// Keys that were pressed show that they wait, until the bot answers or a minute is over.
const waiting = new Map(), answered = new Set();

export function wait(press, key) {
  if (answered.delete(press)) return;
  key.classList.add("waiting");
  waiting.set(press, key);
  setTimeout(() => waiting.has(press) && settle({ id: press }), 60_000);
}

export function settle(note) {
  const key = waiting.get(note.id);
  // The answer can come before the page knows that its press arrived.
  if (key) key.classList.remove("waiting"); else answered.add(note.id);
  waiting.delete(note.id);
  if (note.text) (note.alert ? alertBox : toast)(note.text);
}
