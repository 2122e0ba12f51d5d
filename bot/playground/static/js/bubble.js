// One message as an element. Knows nothing of the list that it stands in.
import { button, element, icon } from "./dom.js";
import { bytes, clock, formatted, summary } from "./format.js";
import { fileAddress } from "./api.js";

// Many combining marks on one letter would paint over the neighbours.
const STACKED = /\p{M}{4}/u;

function picture(size, name, caption) {
  const image = element("img");
  image.src = fileAddress(size.file_id);
  image.alt = caption || name;
  if (size.width && size.height) { image.width = size.width; image.height = size.height; }
  image.loading = "lazy";
  return image;
}

function card(name, address, title, note) {
  const made = element("a", "file", element("span", "disc", icon(name)), element("span", "", element("b", "", title), element("small", "", note)));
  made.href = address;
  made.download = "";
  return made;
}

function quote(message, hooks) {
  const who = message.from.is_bot ? "Lanner" : message.from.first_name;
  return button("quote", `In reply to ${who}`, () => hooks.find(message.message_id), element("b", "", who), element("span", "", summary(message)));
}

function media(message) {
  if (message.photo) {
    const size = message.photo.at(-1), made = element("a", message.caption ? "photo with" : "photo", picture(size, "Photo", message.caption));
    made.href = fileAddress(size.file_id);
    made.target = "_blank";
    return [made];
  }
  if (message.sticker) return [picture(message.sticker, "Sticker")];
  if (message.voice) return [card("mic", fileAddress(message.voice.file_id), "Voice message", bytes(message.voice.file_size))];
  if (message.document) return [card("file", fileAddress(message.document.file_id), message.document.file_name, bytes(message.document.file_size))];
  return [];
}

function bubble(message, hooks) {
  const made = element("div", "bubble"), text = message.text ?? message.caption ?? "";
  made.dir = "auto";
  if (hooks.group && message.from.id !== hooks.me()) made.append(element("div", "sender", message.from.first_name));
  if (message.reply_to_message) made.append(quote(message.reply_to_message, hooks));
  made.append(...media(message));
  if (text) made.append(formatted(text, message.entities || message.caption_entities, hooks.say));
  made.classList.toggle("zalgo", STACKED.test(text));
  const time = element("time", "meta", message.edit_date ? `edited ${clock(message.date)}` : clock(message.date));
  time.dir = "ltr";
  time.dateTime = new Date(message.date * 1000).toISOString();
  made.append(time);
  return made;
}

function key(message, offered, hooks) {
  if (offered.url) {
    const made = element("a", "key", offered.text);
    if (/^https?:\/\//i.test(offered.url)) { made.href = offered.url; made.target = "_blank"; made.rel = "noopener noreferrer"; }
    return made;
  }
  const made = button("key", "", () => hooks.press(message.message_id, offered.callback_data, made), offered.text);
  return made;
}

function keys(message, hooks) {
  const rows = message.reply_markup?.inline_keyboard || [];
  const box = element("div", "keys", ...rows.map((row) => element("div", "", ...row.map((offered) => key(message, offered, hooks)))));
  box.hidden = !rows.length;
  return box;
}

export function row(message, hooks) {
  const made = element("article", message.from.id === hooks.me() ? "row mine" : "row");
  made.dataset.id = message.message_id;
  const tools = button("tools", "Message actions", () => hooks.tools(made, tools), icon("more"));
  tools.setAttribute("aria-haspopup", "true");
  made.append(bubble(message, hooks), keys(message, hooks), tools);
  if (message.sticker) made.classList.add("sticker");
  made.oncontextmenu = (event) => {
    if (getSelection().toString() || event.target.closest("a")) return;
    event.preventDefault();
    hooks.tools(made, tools);
  };
  return made;
}

// An edited message keeps its place, and its keys where they stay the same.
export function refresh(made, before, message, hooks) {
  made.querySelector(".bubble").replaceWith(bubble(message, hooks));
  if (JSON.stringify(before.reply_markup) !== JSON.stringify(message.reply_markup)) made.querySelector(".keys").replaceWith(keys(message, hooks));
}
