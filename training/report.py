"""The comparison as one HTML file that opens offline, and as JSON beside it.

Knows the comparison's numbers and how to show them; judges nothing. Texts of
models and people are escaped: they cannot become markup.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from training.adapter import MANIFEST, read_json, write_file

ROWS = (
    ("ended", "end by themselves", "{:.0%}"),
    ("words", "words", "{:.0f}"),
    ("repetition", "repeat themselves (4-word runs)", "{:.1%}"),
    ("distinct_1", "distinct words", "{:.2f}"),
    ("distinct_2", "distinct word pairs", "{:.2f}"),
    ("copied", "words copied from taught replies (8-word runs)", "{:.1%}"),
    ("longest_copy", "longest copy, words", "{:d}"),
    ("unwanted", "break a content rule", "{:.0%}"),
)


def save(folder: Path, result: dict[str, Any]) -> Path:
    """report.html and report.json into the adapter's folder, the verdict into its manifest."""
    manifest = read_json(folder / MANIFEST)
    manifest |= {"verdict": result["verdict"], "reasons": result["reasons"]}
    write_file(folder / "report.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    image = folder / "loss.png"
    write_file(
        folder / "report.html", page(result, image.read_bytes() if image.is_file() else None)
    )
    # Last, so that a verdict never stands without the report that gives its reasons.
    write_file(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return folder / "report.html"


def summary(result: dict[str, Any]) -> str:
    """A few lines for the terminal."""
    held, style = result["held_out"], result["style"]
    lines = [f"{'':46}{'base':>10}{'adapter':>10}"]
    if held["base"] is not None:
        lines.append(_line("held-out loss, nats a token", "{:.3f}", held))
    for key, name, form in ROWS:
        both = {side: style[side][key] for side in ("base", "adapter")}
        lines.append(_line(name, form, both))
    if held["difference"]:
        d = held["difference"]
        lines.append(
            f"difference of the losses {d['value']:+.3f}, 95 % interval {d['low']:+.3f} to "
            f"{d['high']:+.3f} ({held['questions']} questions)"
        )
    lines.append(f"Verdict: {result['verdict']} — " + "; ".join(result["reasons"]))
    return "\n".join(lines)


def _line(name: str, form: str, both: dict[str, Any]) -> str:
    return f"{name:46}{form.format(both['base']):>10}{form.format(both['adapter']):>10}"


def page(result: dict[str, Any], loss_png: bytes | None) -> str:
    """The whole page."""
    template = Template((files("training") / "report_page.html").read_text("utf-8"))
    manifest = result["manifest"]
    return template.substitute(
        title=escape(f"{result['adapter']} on {result['base']}"),
        verdict=escape(result["verdict"]),
        demo=_demo(result["demo"]),
        reasons=_items(result["reasons"]),
        curve=_image(loss_png),
        losses=_losses(result["held_out"]),
        style=_style(result["style"]),
        probe_style=_style(result["probe_style"]),
        replies="".join(_beside(one) for one in result["replies"]),
        probes="".join(_beside(one) for one in result["probes"]),
        data=_data(manifest["data"]),
        run=_pairs(_run(result, manifest)),
        recipe=escape(json.dumps(manifest["recipe"], indent=1, ensure_ascii=False)),
        versions=_pairs({**manifest["versions"], **manifest["machine"], **manifest["code"]}),
        sha256=escape(result["adapter_sha256"]),
    )


def _demo(demo: bool) -> str:
    return (
        '<p class="note">The base is a small demo model: these replies show what training changes, '
        "not what a service would say.</p>"
        if demo
        else ""
    )


def _items(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in sentences) + "</ul>"


def _image(png: bytes | None) -> str:
    if png is None:
        return "<p>No curve: matplotlib was not installed.</p>"
    data = base64.b64encode(png).decode()
    return f'<img alt="Loss by step, taught and held out" src="data:image/png;base64,{data}">'


def _losses(held: dict[str, Any]) -> str:
    if held["base"] is None:
        return "<p>Nothing was held out.</p>"
    difference = held["difference"]
    return _table(
        ("", "base", "adapter", "difference", "95 % interval"),
        [
            (
                f"{held['replies']} replies to {held['questions']} questions",
                f"{held['base']:.3f}",
                f"{held['adapter']:.3f}",
                f"{difference['value']:+.3f}",
                f"{difference['low']:+.3f} to {difference['high']:+.3f}",
            )
        ],
    )


def _style(style: dict[str, Any]) -> str:
    rows = [
        (name, form.format(style["base"][key]), form.format(style["adapter"][key]))
        for key, name, form in ROWS
    ]
    for side in ("base", "adapter"):
        rules = style[side]["unwanted_rules"]
        told = ", ".join(f"{rule} ×{count}" for rule, count in sorted(rules.items())) or "none"
        rows.append(
            (f"rules broken by the {side}", *((told, "") if side == "base" else ("", told)))
        )
    return _table((f"{style['base']['replies']} replies", "base", "adapter"), rows)


def _beside(one: dict[str, Any]) -> str:
    asked = "".join(
        f'<p class="{escape(turn["role"])}">{escape(turn["text"])}</p>' for turn in one["prompt"]
    )
    sides = "".join(
        f"<div><h4>{side}{'' if one[side]['ended'] else ' (cut at the limit)'}</h4>"
        f"<p>{escape(one[side]['text']) or '<i>nothing</i>'}</p></div>"
        for side in ("base", "adapter")
    )
    return f'<article><div class="asked">{asked}</div><div class="sides">{sides}</div></article>'


def _data(data: dict[str, Any]) -> str:
    sources = sorted({*data["read"], *data["kept"]})
    rows = [(name, data["read"].get(name, 0), data["kept"].get(name, 0)) for name in sources]
    dropped = _pairs({f"left out, {rule}": n for rule, n in data["dropped_by_rule"].items()})
    taken = data["sentences_taken_out_by_rule"]
    repaired = _pairs({f"sentences taken out of replies, {rule}": n for rule, n in taken.items()})
    counts = _pairs(
        {
            "taught replies": data["taught_examples"],
            "held-out replies": data["held_out_examples"],
            "times each is seen": data["times_each_is_seen"],
            "prompts cut at their old end": data["prompts_cut"],
            "replies cut at a sentence": data["replies_cut"],
            "sha256": data["sha256"],
        }
    )
    return _table(("source", "rows read", "kept"), rows) + counts + dropped + repaired


def _run(result: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    run = manifest["run"]
    found = {
        "made": manifest["made"],
        "steps": run["steps"],
        "kept step": run["best_step"],
        "stopped early": run["stopped_early"],
        "tokens": f"{run['tokens']:,}",
        "training, s": run["training_seconds"],
        "whole run, s": run["whole_seconds"],
        "comparison, s": f"{result['seconds']['base']} and {result['seconds']['adapter']}",
        "4-bit layers": manifest["base"]["quantised_modules"],
        "compute": manifest["base"]["compute"],
    }
    if "peak_bytes" in run:
        found["peak memory, GB"] = f"{run['peak_bytes'] / 1e9:.2f}"
    energy = run.get("joules")
    found["energy of training, Wh"] = (
        f"{energy / 3600:.1f}" if energy else "the device does not tell"
    )
    return found


def _pairs(values: dict[str, Any]) -> str:
    rows = list(values.items())
    return _table((), rows) if rows else ""


def _table(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    top = "<tr>" + "".join(f"<th>{escape(str(one))}</th>" for one in head) + "</tr>" if head else ""
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(one))}</td>" for one in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table>{top}{body}</table></div>'
