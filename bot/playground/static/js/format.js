// Text with Telegram's entities as nodes. JavaScript counts in UTF-16, as Telegram does.
import { button, element } from "./dom.js";

const TAGS = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "pre", blockquote: "blockquote", expandable_blockquote: "blockquote" };

function link(address) {
  const made = element("a");
  if (/^https?:\/\//i.test(address)) {
    made.href = address;
    made.target = "_blank";
    made.rel = "noopener noreferrer";
  }
  return made;
}

function wrapper(mark, words, say) {
  if (mark.type === "url") return link(words);
  if (mark.type === "text_link") return link(mark.url || "");
  if (mark.type === "bot_command") return button("command", "", () => say(words));
  if (mark.type === "spoiler") {
    const hidden = button("spoiler", "Hidden text: show", () => { hidden.classList.add("shown"); hidden.removeAttribute("aria-label"); });
    return hidden;
  }
  return element(TAGS[mark.type] || "span");
}

// Entities nest: each takes those that lie inside it, the rest follows.
function build(into, text, marks, start, end, say) {
  let place = start;
  while (marks.length && marks[0].offset < end) {
    const mark = marks.shift(), from = Math.max(mark.offset, place), to = Math.min(mark.offset + mark.length, end);
    if (to <= from) continue;
    if (from > place) into.append(text.slice(place, from));
    const made = wrapper(mark, text.slice(from, to), say);
    const inner = mark.type === "spoiler" ? made.appendChild(element("span")) : made;
    build(inner, text, marks, from, to, say);
    into.append(made);
    place = to;
  }
  if (place < end) into.append(text.slice(place, end));
}

export function formatted(text, entities, say = () => {}) {
  const words = element("span", "words"), marks = [...(entities || [])].sort((a, b) => a.offset - b.offset || b.length - a.length);
  build(words, text, marks, 0, text.length, say);
  return words;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });

export function day(seconds) {
  const date = new Date(seconds * 1000), today = new Date();
  const days = Math.round((new Date(today).setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 864e5);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  const year = date.getFullYear() === today.getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString([], { day: "numeric", month: "long", year });
}

export function bytes(count) {
  if (count < 1024) return `${count} bytes`;
  return count < 1 << 20 ? `${(count / 1024).toFixed(1)} KB` : `${(count / (1 << 20)).toFixed(1)} MB`;
}

// One line that tells what a message is, for quotes and trays.
export function summary(message) {
  const kind = message.photo ? "Photo" : message.document ? message.document.file_name : message.voice ? "Voice message" : message.sticker ? "Sticker" : "";
  return (message.text || message.caption || kind).slice(0, 120);
}
