"""Compares all that the classifier learns from with all evaluation-only texts.

Knows the folders of the evaluation-only sets; only this search and the report
ever open them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.safety.examples import written
from training.safety.near import near
from training.safety.sets import all_sets

_MORE = ("psychosis_bench/test_cases.json", "counselling_bench/questions_sanitised_100.jsonl")


@dataclass(frozen=True, slots=True)
class Leak:
    """Names, not texts: of a training message and of an evaluation text."""

    training: str
    evaluation: str
    alike: float


def leaks(data: Path, alike: float = 0.6) -> list[Leak]:
    """Training and development texts that nearly are an evaluation text under `data`."""
    mine = [e for e in written() if e.split != "holdout"]
    theirs = list(evaluation_texts(data))
    return [
        Leak(f"{mine[n.left].source} {mine[n.left].theme}", theirs[n.right][0], n.alike)
        for n in near([e.text for e in mine], [text for _, text in theirs], alike)
    ]


def evaluation_texts(data: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of every message that people wrote in the evaluation-only sets."""
    for measured in all_sets(data):
        if measured.name.startswith("own"):
            continue
        for item in measured.items:
            for turn in item.turns:
                yield f"{measured.name} {item.key}", turn["text"]
    for file in (
        "psychosis_bench/test_cases.json",
        "counselling_bench/questions_sanitised_100.jsonl",
    ):
        yield from _strings(file, data / file)


def _strings(name: str, path: Path) -> Iterator[tuple[str, str]]:
    """Every long string in a JSON or JSON-lines file."""
    text = path.read_text(encoding="utf-8")
    values = [json.loads(text)] if path.suffix == ".json" else map(json.loads, text.splitlines())
    for number, value in enumerate(values, 1):
        for found in _walk(value):
            yield f"{name} {number}", found


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) > 20:
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _walk(inner)
