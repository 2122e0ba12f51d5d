// Elements and icons. Text goes in as text nodes only: a message can never become markup.
const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  more: "M12 5.5v.01M12 12v.01M12 18.5v.01", down: "M6 9.5l6 6 6-6", menu: "M5 7h14M5 12h14M5 17h9",
  clip: "M19.5 11.5l-7.6 7.6a5 5 0 0 1-7-7l8-8a3.3 3.3 0 0 1 4.7 4.7l-7.9 7.9a1.7 1.7 0 0 1-2.4-2.4l7.1-7.1",
  send: "M3.6 20.5c-.5.2-1-.3-.8-.8L5.3 12.9 14 12 5.3 11.1 2.8 4.3c-.2-.5.3-1 .8-.8l17 7.6c.7.3.7 1.3 0 1.6z",
  file: "M13.5 3.5H7a1.5 1.5 0 0 0-1.5 1.5v14A1.5 1.5 0 0 0 7 20.5h10a1.5 1.5 0 0 0 1.5-1.5V8.5zm0 0v5h5",
  image: "M5 4.5h14A1.5 1.5 0 0 1 20.5 6v12a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 18V6A1.5 1.5 0 0 1 5 4.5zm3.5 5.5a1.2 1.2 0 1 0 0-2.4 1.2 1.2 0 0 0 0 2.4zM3.8 17l5-4.5 3.5 3 3.7-4.5 4.3 5",
  mic: "M12 3.5a3 3 0 0 1 3 3V12a3 3 0 0 1-6 0V6.5a3 3 0 0 1 3-3zM5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3", sticker: "M12 3.5A8.5 8.5 0 1 0 20.5 12c-5 0-8.5-3.5-8.5-8.5zm0 0L20.5 12M8.5 13.5c.8 1.7 2 2.5 3.5 2.5",
  reply: "M10 6L4.5 11.5 10 17M5 11.5h8.5a6 6 0 0 1 6 6V18", edit: "M4.5 19.5l.9-4L16 5a1.9 1.9 0 0 1 2.7 0l.4.4a1.9 1.9 0 0 1 0 2.7L8.5 18.6z", copy: "M9 9h10.5v10.5H9zM15 9V4.5H4.5V15H9",
  close: "M6.5 6.5l11 11m0-11l-11 11", person: "M12 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM5 19.5a7 7 0 0 1 14 0", group: "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3.5 18.5a5.5 5.5 0 0 1 11 0M15.5 5.3a3 3 0 0 1 0 5.4M17 13.7a5.5 5.5 0 0 1 3.5 4.8",
  columns: "M4.5 5h15v14h-15zM12 5v14", block: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM6 6l12 12", trash: "M5 7h14M9.5 7V4.5h5V7M7 7l.8 12.5h8.4L17 7", plus: "M12 5.5v13M5.5 12h13",
};

export const byId = (id) => document.getElementById(id);

export function element(tag, className = "", ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside);
  return made;
}

export function icon(name) {
  const drawn = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  drawn.setAttribute("viewBox", "0 0 24 24");
  drawn.setAttribute("class", "icon");
  drawn.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  drawn.append(path);
  return drawn;
}

export function button(className, label, onclick, ...inside) {
  const made = element("button", className, ...inside);
  made.type = "button";
  if (label) made.setAttribute("aria-label", label);
  made.onclick = onclick;
  return made;
}

// One line of a menu that closes itself when it is chosen.
export function item(name, text, chosen, className = "") {
  return button(`item ${className}`, "", (event) => { event.currentTarget.closest("[popover]")?.hidePopover(); chosen(event); }, icon(name), text);
}

// Put a popover beside what opened it, inside the window.
export function place(sheet, anchor, above = false) {
  const around = anchor.getBoundingClientRect(), width = sheet.offsetWidth, height = sheet.offsetHeight;
  const left = Math.min(Math.max(12, above ? around.left : around.right - width), innerWidth - width - 12);
  const top = above || around.bottom + height + 12 > innerHeight ? Math.max(12, around.top - height - 6) : around.bottom + 6;
  sheet.style.left = `${left}px`;
  sheet.style.top = `${top}px`;
}
