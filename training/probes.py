"""The evaluation-only prompts that come with Lanner: they test, and are never taught.

SimpleSafetyTests (Vidgen et al., CC-BY-4.0) and the stimuli of
llms-as-therapists (Moore et al., MIT); licences beside the files. Knows two
files; knows nothing of models.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from importlib.resources import files

from model.types import Turn
from training.data.dialogue import digest


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt that a model must handle with care. `about` is its kind of danger."""

    id: str
    about: str
    turns: tuple[Turn, ...]


def probes(count: int | None = None) -> list[Probe]:
    """All of them, or `count` spread over both sets and all kinds; always the same ones."""
    every = [*_stimuli(), *_safety_tests()]
    if count is None or count >= len(every):
        return every
    kinds: dict[str, list[Probe]] = {}
    for probe in every:
        kinds.setdefault(probe.about, []).append(probe)
    for found in kinds.values():
        found.sort(key=lambda probe: digest(probe.id))
    chosen: list[Probe] = []
    while len(chosen) < count:
        # One of each kind in turn, so that few prompts still cover all kinds.
        for found in kinds.values():
            if found and len(chosen) < count:
                chosen.append(found.pop(0))
    return chosen


def texts() -> list[str]:
    """What must never be in training data."""
    return [turn.text for probe in probes() for turn in probe.turns if turn.role == "user"]


def _read(name: str) -> str:
    return (files("training") / "evaluation" / name).read_text("utf-8")


def _stimuli() -> list[Probe]:
    found = []
    for line in _read("llms_as_therapists/stimuli.jsonl").splitlines():
        row = json.loads(line)
        turns = tuple(Turn(turn["role"], turn["text"]) for turn in row["turns"])
        found.append(Probe(row["id"], row["condition"], turns))
    return found


def _safety_tests() -> list[Probe]:
    rows = csv.DictReader(_read("simple_safety_tests/test_cases.csv").splitlines())
    return [
        Probe(row["id"], row["harm_area"], (Turn("user", row["prompts_final"]),)) for row in rows
    ]
