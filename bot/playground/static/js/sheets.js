// The menus: who speaks, the chat itself, the bot's commands, one message's actions.
import { act, address, group, me } from "./api.js";
import { byId, element, icon, item, place } from "./dom.js";
import { toast } from "./toast.js";

const failed = (error) => toast(error.message);
const go = (where) => () => location.assign(where);

function person(name) {
  const made = element("a", "item", icon("person"), name);
  made.href = address(name);
  if (name === me && !group) made.setAttribute("aria-current", "page");
  return made;
}

function adder() {
  const form = element("form"), name = element("input");
  name.placeholder = "Another person’s name";
  name.setAttribute("aria-label", "Another person’s name");
  name.maxLength = 64;
  form.append(name);
  form.onsubmit = (event) => { event.preventDefault(); if (name.value.trim()) location.assign(address(name.value.trim())); };
  return form;
}

export function people(sheet, state) {
  const others = state.people.filter((name) => name !== me);
  const beside = new URLSearchParams([me, others[0] || "ada"].map((name) => ["as", name]));
  const title = group || state.groups[0] || "Friends";
  sheet.replaceChildren(
    element("h2", "", "Speak as"), ...[...new Set(["you", "admin", me, ...state.people])].slice(0, 12).map(person), adder(), element("hr"),
    item("columns", "Two people side by side", go(`?${beside}`)),
    group ? item("person", "Back to the private chat", go(address(me))) : item("group", `Group “${title}”`, go(address(me, title))),
    element("hr"),
    ...(group ? [] : [item("block", state.blocked ? "Unblock Lanner" : "Block Lanner", () => act(state.blocked ? "unblock" : "block").catch(failed))]),
    item("trash", "Clear this chat here", () => confirm("Clear this chat on this page? What Lanner keeps stays: /forget_me erases that.") && act("clear").catch(failed), "danger"),
  );
}

export function openPeople(state) {
  const sheet = byId("sheet");
  sheet.ontoggle = (event) => {
    if (event.newState === "open") { people(sheet, state()); place(sheet, byId("more")); }
  };
}

export function commands(list, say) {
  byId("menu").replaceChildren(...list.map((command) => {
    const made = element("button", "", element("b", "", `/${command.command}`), element("span", "", command.description));
    made.type = "button";
    made.onclick = () => { toggle(false); say(`/${command.command}`); byId("text").focus(); };
    return made;
  }));
  byId("commands").hidden = !list.length;
}

export function toggle(open) {
  byId("menu").hidden = !open;
  byId("commands").setAttribute("aria-expanded", String(open));
  if (open) byId("menu").querySelector("button")?.focus();
}

// A small menu at one message; it is made for the moment and thrown away.
export function actions(anchor, offers) {
  const sheet = element("div", "sheet", ...offers.map(([name, text, chosen]) => item(name, text, chosen)));
  sheet.popover = "auto";
  sheet.setAttribute("aria-label", "Message actions");
  byId("phone").append(sheet);
  sheet.ontoggle = (event) => { if (event.newState === "closed") { sheet.remove(); anchor.setAttribute("aria-expanded", "false"); } };
  sheet.showPopover();
  place(sheet, anchor);
  anchor.setAttribute("aria-expanded", "true");
  sheet.querySelector("button").focus();
}
