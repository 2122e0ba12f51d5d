// Where a person writes: the field, what it edits, answers or attaches, Stop and Send.
import { act, upload } from "./api.js";
import { button, byId, element, icon, item, place } from "./dom.js";
import { bytes, summary } from "./format.js";
import { toast } from "./toast.js";

const MOST = 20 << 20;

export class Composer {
  constructor(lastOwn) {
    this.field = byId("text");
    this.lastOwn = lastOwn;
    this.about = null; // { kind: "edit" | "reply" | "file", … }
    byId("send").append(icon("send"));
    byId("attach").append(icon("clip"));
    byId("form").onsubmit = (event) => { event.preventDefault(); this.submit(); };
    this.field.oninput = () => this.fit();
    this.field.onkeydown = (event) => this.key(event);
    this.field.onpaste = (event) => this.take(event.clipboardData.files, event);
    byId("file").onchange = (event) => { this.take(event.target.files); event.target.value = ""; };
    this.sheet();
    this.dragging();
    this.fit();
  }

  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.submit(); }
    if (event.key === "Escape" && this.about) this.turn(null);
    if (event.key === "ArrowUp" && !this.field.value && !this.about) {
      const last = this.lastOwn();
      if (last) { event.preventDefault(); this.edit(last); }
    }
  }

  fit() {
    this.field.style.height = "auto";
    this.field.style.height = `${Math.min(this.field.scrollHeight, 150)}px`;
    byId("send").disabled = !this.field.value.trim() && this.about?.kind !== "file";
  }

  edit(message) { this.turn({ kind: "edit", message }); this.fill(message.text ?? message.caption ?? ""); }

  reply(message) { this.turn({ kind: "reply", message }); this.field.focus(); }

  fill(text) { this.field.value = text; this.fit(); this.field.focus(); this.field.setSelectionRange(text.length, text.length); }

  // What the next Send is about; null is a plain message.
  turn(about) {
    if (this.about?.kind === "edit") this.field.value = "";
    if (this.about?.shown) URL.revokeObjectURL(this.about.shown);
    this.about = about;
    const tray = byId("tray");
    tray.hidden = !about;
    tray.replaceChildren(...(about ? this.tray(about) : []));
    this.fit();
  }

  tray(about) {
    const [name, title, text] = about.kind === "edit" ? ["edit", "Edit message", summary(about.message)]
      : about.kind === "reply" ? ["reply", `Reply to ${about.message.from.first_name}`, summary(about.message)]
      : [about.as === "photo" ? "image" : "file", about.file.name, bytes(about.file.size)];
    let sign = icon(name);
    if (about.shown) { sign = element("img"); sign.src = about.shown; sign.alt = ""; }
    return [sign, element("div", "", element("b", "", title), element("span", "", text)), button("round", "Cancel", () => this.turn(null), icon("close"))];
  }

  async submit() {
    const text = this.field.value, about = this.about;
    if (!text.trim() && about?.kind !== "file") return;
    this.field.value = "";
    this.about = null;
    this.turn(null);
    try {
      if (about?.kind === "edit") await act("edit", { message_id: about.message.message_id, text });
      else if (about?.kind === "file") await upload(about.as, about.file, text);
      else await act("say", { text, reply_to: about?.message.message_id });
    } catch (error) {
      toast(error.message);
      if (!this.field.value) { this.turn(about); this.fill(text); }
    }
  }

  take(files, event) {
    const file = files?.[0];
    if (!file) return;
    event?.preventDefault();
    if (file.size > MOST) { toast("Telegram gives bots files of 20 MB at most."); return; }
    const as = /^image\/(png|jpeg|gif|webp)$/.test(file.type) ? "photo" : "document";
    this.turn({ kind: "file", file, as, shown: as === "photo" ? URL.createObjectURL(file) : null });
    this.field.focus();
  }

  sheet() {
    const sheet = byId("attach-sheet"), file = byId("file");
    const choose = (accept) => { file.accept = accept; file.click(); };
    sheet.append(
      item("image", "Photo", () => choose("image/png,image/jpeg,image/gif,image/webp")),
      item("file", "File", () => choose("")),
      item("mic", "Voice message", () => this.record()),
      item("sticker", "Sticker", () => this.sticker()),
    );
    sheet.ontoggle = (event) => event.newState === "open" && place(sheet, byId("attach"), true);
  }

  async sticker() {
    const image = new Image(), canvas = element("canvas");
    image.src = "avatar.svg";
    await image.decode();
    canvas.width = canvas.height = 256;
    canvas.getContext("2d").drawImage(image, 0, 0, 256, 256);
    const drawn = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    upload("sticker", new File([drawn], "sticker.png"), "").catch((error) => toast(error.message));
  }

  async record() {
    let stream;
    try { stream = await navigator.mediaDevices.getUserMedia({ audio: true }); } catch { toast("No microphone can be used here."); return; }
    const recorder = new MediaRecorder(stream), pieces = [];
    recorder.ondataavailable = (event) => pieces.push(event.data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      upload("voice", new File(pieces, "voice.ogg"), "").catch((error) => toast(error.message));
    };
    recorder.start();
    const send = button("pill", "", () => { this.turn(null); recorder.stop(); }, "Send");
    byId("tray").replaceChildren(icon("mic"), element("div", "", element("b", "", "Recording…")), send);
    byId("tray").hidden = false;
  }

  dragging() {
    const phone = byId("phone"), drop = byId("drop");
    phone.ondragover = (event) => { if ([...event.dataTransfer.types].includes("Files")) { event.preventDefault(); drop.hidden = false; } };
    phone.ondragleave = (event) => { if (!phone.contains(event.relatedTarget)) drop.hidden = true; };
    phone.ondrop = (event) => { drop.hidden = true; this.take(event.dataTransfer.files, event); };
  }
}
