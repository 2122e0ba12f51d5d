// The operator's dashboard: reads /readings every two seconds and draws it.
// The page keeps the last minutes itself; the service keeps no history for it.
import { Chart } from "./chart.js";

const EVERY_MS = 2000;
const LEVELS = ["0 ordinary", "1 concern", "2 high", "3 imminent"];
const NAMES = { queued: "in the queue", first_token: "to first token", reply: "whole reply" };
const $ = (id) => document.getElementById(id);
const charts = {
  tokens: new Chart($("chart-tokens"), 1),
  queue: new Chart($("chart-queue"), 2),
  memory: new Chart($("chart-memory"), 1),
};

function element(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function pairs(target, entries) {
  target.replaceChildren(...entries.flatMap(([name, value, bad]) => [element("dt", name), element("dd", value, bad ? "bad" : "")]));
}

function bars(target, entries) {
  const most = Math.max(1, ...entries.map(([, value]) => value));
  if (!entries.length) return target.replaceChildren(element("span", "None yet.", "none"));
  target.replaceChildren(...entries.flatMap(([name, value]) => {
    const bar = document.createElement("meter");
    Object.assign(bar, { max: most, value });
    bar.setAttribute("aria-label", name);
    return [element("span", name), bar, element("span", String(value))];
  }));
}

function span(seconds) {
  if (seconds === null) return "never";
  if (seconds < 90) return `${seconds.toFixed(0)} s ago`;
  return `${(seconds / 60).toFixed(0)} min ago`;
}

function counted(counts, prefix) {
  return Object.entries(counts).filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]);
}

function showModel(model) {
  $("tokens").textContent = model.tokens_per_s.toFixed(1);
  $("queue").textContent = `${model.running} of ${model.slots}, ${model.waiting} waiting`;
  $("memory").textContent = `${(model.memory_bytes / 1e9).toFixed(2)} GB`;
  pairs($("model"), [
    ["name", model.model + (model.demo ? " (a demo model)" : "")],
    ["state", model.state, !["ready", "reloading"].includes(model.state)],
    ["parameters", `${(model.parameters / 1e6).toFixed(0)} M`],
    ["device", model.device],
    ["path", model.path],
    ["adapter", model.adapter ? `${model.adapter} · ${(model.adapter_sha256 || "").slice(0, 12)}` : "none"],
  ]);
}

function show(readings) {
  const { model, counts } = readings, failed = readings.checks.filter((check) => !check.ok);
  $("headline").textContent = failed.length ? failed.map((check) => check.sentence).join(" ") : "People can be answered.";
  $("headline").className = failed.length ? "bad" : "";
  $("checks").replaceChildren(...readings.checks.map((check) => element("li", check.ok ? check.name : `${check.name}: ${check.sentence}`, check.ok ? "" : "bad")));
  showModel(model);
  charts.tokens.add([model.tokens_per_s]);
  charts.queue.add([model.running, model.waiting]);
  charts.memory.add([model.memory_bytes]);
  $("latency").replaceChildren(...Object.entries(NAMES).map(([key, name]) => {
    const found = readings.latency_s[key], row = document.createElement("tr");
    const cells = found ? [found.p50, found.p95, found.p99].map((s) => s.toFixed(3)) : ["–", "–", "–"];
    row.append(element("td", name), ...cells.map((cell) => element("td", cell)), element("td", found ? String(found.n) : "0"));
    return row;
  }));
  bars($("safety"), LEVELS.map((name, level) => [name, counts[`level ${level}`] || 0]));
  bars($("turns"), counted(counts, "turns "));
  pairs($("trouble"), [
    ["last reached Telegram", span(readings.since_poll_s)],
    ["updates received", String(counts.updates || 0)],
    ["chats under way", String(readings.chats_under_way)],
    ["put aside", String(readings.quarantined ?? "–"), readings.quarantined > 0],
    ["last error", model.last_error || "none", Boolean(model.last_error)],
    ...counted(counts, "event ").map(([name, value]) => [name.replaceAll("_", " "), String(value), true]),
  ]);
}

async function follow() {
  for (;;) {
    try {
      const answer = await fetch("/readings");
      show(await answer.json());
    } catch {
      $("headline").textContent = "Lanner does not answer: it has stopped, or is starting.";
      $("headline").className = "bad";
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

follow();
