// Puts the page together: one chat, or several people side by side.
import { act, address, everyone, follow, group, me } from "./api.js";
import { byId, element, icon } from "./dom.js";
import { Composer } from "./composer.js";
import { List } from "./list.js";
import { actions, commands, openPeople, toggle } from "./sheets.js";
import { settle, toast, wait } from "./toast.js";

function sideBySide() {
  const frames = everyone.slice(0, 4).map((name) => {
    const frame = element("iframe");
    frame.src = address(name, group);
    frame.title = `Chat of ${name}`;
    return frame;
  });
  document.body.append(element("div", "side", ...frames));
}

function chat() {
  let latest = null, listed = "";
  const failed = (error) => toast(error.message);
  const say = (text) => act("say", { text }).catch(failed);
  const hooks = {
    group: Boolean(group), say, me: () => latest?.me, find: (id) => list.find(id),
    press: async (message_id, data, key) => { try { wait((await act("press", { message_id, data })).press, key); } catch (error) { failed(error); } },
    tools: (row, anchor) => offer(list.messages.get(Number(row.dataset.id)), anchor),
  };
  const list = new List(hooks);
  const own = (message) => message.from.id === latest?.me && (message.text || message.caption);
  const composer = new Composer(() => [...list.messages.values()].filter(own).at(-1));

  function offer(message, anchor) {
    const text = message.text || message.caption;
    actions(anchor, [
      ["reply", "Reply", () => composer.reply(message)],
      ...(own(message) ? [["edit", "Edit", () => composer.edit(message)]] : []),
      ...(text ? [["copy", "Copy text", () => navigator.clipboard.writeText(text).catch(() => toast("The text cannot be copied here."))]] : []),
    ]);
  }

  function show(state) {
    latest = state;
    list.update(state);
    state.notes.forEach(settle);
    const writing = state.draft !== null, busy = writing || state.action === "typing";
    byId("stop").hidden = !writing;
    byId("status").textContent = state.blocked ? "blocked" : writing ? "writing…" : busy ? "typing…" : group ? "group with Lanner" : "bot";
    byId("status").classList.toggle("busy", busy);
    banner(state.banner.text || "");
    if (listed !== JSON.stringify(state.commands)) { listed = JSON.stringify(state.commands); commands(state.commands, say); }
  }

  byId("more").append(icon("more"));
  byId("down").append(icon("down"));
  byId("commands").append(icon("menu"), element("span", "", "Menu"));
  byId("commands").onclick = () => toggle(byId("menu").hidden);
  byId("menu").onkeydown = (event) => { if (event.key === "Escape") { toggle(false); byId("commands").focus(); } };
  byId("stop").onclick = () => (latest.draft?.can_stop ? act("stop").catch(failed) : say("/stop"));
  byId("title").textContent = group || "Lanner";
  byId("as").textContent = me === "you" ? "" : me;
  if (me !== "you") document.title = `Lanner · ${me}`;
  openPeople(() => latest);
  follow(show, lost);
}

function banner(text) {
  const box = byId("banner"), words = byId("banner-text"), more = byId("banner-more");
  box.hidden = !text;
  if (words.textContent === text) return;
  words.textContent = text;
  more.onclick = () => {
    const open = box.classList.toggle("open");
    more.textContent = open ? "less" : "more";
    more.setAttribute("aria-expanded", String(open));
  };
  more.hidden = words.scrollHeight <= words.clientHeight + 2 && !box.classList.contains("open");
}

// A moment's silence is not a loss.
let silent = 0;
function lost(now) {
  silent = now ? silent + 1 : 0;
  byId("lost").hidden = silent < 2;
  if (silent === 2) byId("lost").textContent = "Lanner is not running. Start it with make run; this page finds it by itself.";
}

if (self !== top) document.body.classList.add("framed");
if (everyone.length > 1) sideBySide();
else { byId("phone").hidden = false; chat(); if (matchMedia("(hover: hover)").matches && self === top) byId("text").focus(); }
