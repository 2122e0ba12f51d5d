// A client of the local Bot API server that looks like a phone chat.
// All text goes through text nodes: a message can never become markup.
const name = new URLSearchParams(location.search).get("as") || "you";
const $ = (id) => document.getElementById(id);
const TAGS = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "code", blockquote: "q" };
let editing = null;

async function act(kind, fields) {
  const body = JSON.stringify({ as: name, kind, ...fields });
  await fetch("/play/act", { method: "POST", headers: { "Content-Type": "application/json" }, body });
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function formatted(message) {
  // JavaScript strings are UTF-16, as Telegram's offsets are.
  const text = message.text || "", bubble = element("div", "bubble");
  const marks = (message.entities || []).filter((e) => TAGS[e.type]);
  const cuts = [...new Set([0, text.length, ...marks.flatMap((e) => [e.offset, e.offset + e.length])])].sort((a, b) => a - b);
  for (let i = 0; i + 1 < cuts.length; i++) {
    let node = document.createTextNode(text.slice(cuts[i], cuts[i + 1]));
    for (const mark of marks.filter((e) => e.offset <= cuts[i] && e.offset + e.length >= cuts[i + 1])) {
      const wrap = element(TAGS[mark.type]);
      wrap.append(node);
      node = wrap;
    }
    bubble.append(node);
  }
  return bubble;
}

function keys(message) {
  const box = element("div", "keys");
  for (const button of ((message.reply_markup || {}).inline_keyboard || []).flat()) {
    const made = element("button", "", button.text);
    made.type = "button";
    made.onclick = () => act("press", { message_id: message.message_id, data: button.callback_data });
    box.append(made);
  }
  return box;
}

function row(message) {
  const mine = !message.from.is_bot, made = element("article", mine ? "row mine" : "row");
  if (message.document) {
    const link = element("a", "bubble", `📄 ${message.document.file_name}`);
    link.href = `/play/file/${message.document.file_id}`;
    made.append(link);
  } else made.append(formatted(message));
  made.append(keys(message));
  const clock = new Date(message.date * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  made.append(element("time", "", message.edit_date ? `edited ${clock}` : clock));
  if (mine) made.ondblclick = () => { editing = message.message_id; $("text").value = message.text; $("text").focus(); };
  return made;
}

function show(state) {
  const chat = $("chat"), below = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 90;
  chat.replaceChildren(...state.messages.map(row));
  if (state.draft !== null) {
    const live = element("article", "row draft");
    live.append(element("div", "bubble", state.draft));
    chat.append(live);
  }
  if (below) chat.scrollTop = chat.scrollHeight;
  $("stop").hidden = state.draft === null;
  $("status").textContent = state.draft !== null || state.action ? "writing…" : "a program that listens";
  $("banner").textContent = state.banner.text || "";
  $("menu").replaceChildren(...state.commands.map((command) => {
    const made = element("button", "", `/${command.command} `);
    made.type = "button";
    made.append(element("small", "", command.description));
    made.onclick = () => { toggle(false); act("say", { text: `/${command.command}` }); };
    return made;
  }));
}

function toggle(open) {
  $("menu").hidden = !open;
  $("commands").setAttribute("aria-expanded", String(open));
}

async function follow() {
  for (let since = ""; ;) {
    try {
      const answer = await fetch(`/play/state?as=${encodeURIComponent(name)}&since=${since}`);
      const state = await answer.json();
      if (state.version !== since) show(state);
      since = state.version;
    } catch {
      $("status").textContent = "Lanner is not running: start it with make run";
      since = "";
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

$("form").onsubmit = async (event) => {
  event.preventDefault();
  const text = $("text").value;
  $("text").value = "";
  if (!text.trim()) return;
  if (editing) await act("edit", { message_id: editing, text });
  else await act("say", { text });
  editing = null;
};
$("text").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); $("form").requestSubmit(); }
};
$("stop").onclick = () => act("say", { text: "/stop" });
$("commands").onclick = () => toggle($("menu").hidden);
follow();
