"""Measures the gate on every set and keeps what it missed: one page, one JSON file.

The JSON names misses by their place in their file; only the page for the
operator's eyes, on the operator's disk, shows their text. Knows nothing of training.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

from bot.safety.check import judged
from bot.safety.gate import SafetyGate
from bot.safety.types import Assessment, HistoryTurn
from training.safety.calibrate import wilson
from training.safety.sets import Item, Measured


@dataclass(frozen=True, slots=True)
class Result:
    """What the gate did with one set."""

    measured: Measured
    stopped: int
    wrong: tuple[tuple[Item, float, tuple[str, ...]], ...]  # with score and rules
    first_turns: tuple[int, ...]
    ms: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of the set's items, how many the gate kept from the model."""
        return self.stopped / max(1, len(self.measured.items))

    @property
    def met(self) -> bool | None:
        """Whether the point value reaches the aim; None where there is none."""
        bound = self.measured.bound
        if bound is None or not self.measured.items:
            return None
        return self.share >= bound if self.measured.want == "stop" else self.share <= bound


def measure(gate: SafetyGate, sets: Iterable[Measured], say: Callable[[str], None]) -> list[Result]:
    """Every set through the gate, item by item as a person would have written it."""
    found = []
    for measured in sets:
        found.append(_result(gate, measured))
        say(line(found[-1]))
    return found


def line(result: Result) -> str:
    """One set in one line of text."""
    low, high = wilson(result.stopped, len(result.measured.items))
    turns = (
        f", first in turn {statistics.median(result.first_turns):g}" if result.first_turns else ""
    )
    verdict = {None: "", True: "  met", False: "  NOT MET"}[result.met]
    return (
        f"{result.measured.name:58} stopped {result.stopped:4}/{len(result.measured.items):<4} "
        f"{result.share:.3f} [{low:.3f}, {high:.3f}]{turns}{verdict}"
    )


def page(results: Iterable[Result], version: str) -> dict[str, Any]:
    """The report as plain values; misses by their place, without text."""
    return {
        "version": version,
        "interval": "Wilson, 95 %",
        "sets": [
            {
                "name": r.measured.name,
                "want": r.measured.want,
                "aim": r.measured.bound,
                "met": r.met,
                "note": r.measured.note,
                "items": len(r.measured.items),
                "stopped": r.stopped,
                "share": round(r.share, 4),
                "low_high": [round(x, 4) for x in wilson(r.stopped, len(r.measured.items))],
                "median_first_turn": statistics.median(r.first_turns) if r.first_turns else None,
                "ms": {"p50": _at(r.ms, 0.5), "p99": _at(r.ms, 0.99)},
                "wrong": [{"key": i.key, "score": s, "rules": rules} for i, s, rules in r.wrong],
            }
            for r in results
        ],
    }


def _result(gate: SafetyGate, measured: Measured) -> Result:
    stopped, wrong = 0, []
    first: list[int] = []
    ms: list[float] = []
    for item in measured.items:
        found = judged(gate, [_turn(t) for t in item.turns])[-1 if item.last else None :]
        ms.extend(a.ms for a in found)
        at = next((n for n, a in enumerate(found, 1) if a.crisis), None)
        stopped += at is not None
        if at is not None and len(found) > 1:
            first.append(at)
        if (at is not None) != (measured.want == "stop"):
            gravest = max(found, key=lambda a: a.score)
            wrong.append((item, gravest.score, _rules(found)))
    return Result(measured, stopped, tuple(wrong), tuple(first), tuple(ms))


def _rules(found: list[Assessment]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rule for a in found for rule in a.rules))


def _turn(turn: dict[str, str]) -> HistoryTurn:
    role = "user" if turn["role"] == "user" else "assistant"
    return HistoryTurn(cast("Literal['user', 'assistant']", role), turn["text"])


def _at(values: tuple[float, ...], share: float) -> float | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else None
