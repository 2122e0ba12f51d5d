"""From sources to what is taught and what is held out, with a report of every row left out.

The order: read, understand, lint and repair, drop duplicates, limit, split.
Knows dialogues; knows nothing of tokens or models.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training import probes
from training.data import sources
from training.data.dialogue import Dialogue, Dropped, digest, same
from training.data.formats import Unreadable, turns_of
from training.data.near import Near
from training.data.repair import Unfit, repaired
from training.data.split import split
from training.errors import DataError
from training.recipe import DataPart, Source


@dataclass(slots=True)
class Report:
    """What was read, kept and left out."""

    read: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    dropped: list[Dropped] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def drop(self, dialogue: Dialogue, rule: str, reason: str) -> None:
        """Note a dialogue that is left out."""
        self.dropped.append(
            Dropped(dialogue.id, dialogue.source, rule, reason, dialogue.question[:100])
        )

    def as_dict(self) -> dict[str, Any]:
        """For the manifest: counts, and ids with reasons; no texts."""
        return {
            "read": dict(self.read),
            "kept": dict(self.kept),
            "sentences_taken_out_by_rule": dict(self.repaired),
            "dropped_by_rule": dict(Counter(one.rule for one in self.dropped)),
            "dropped": [[one.source, one.id, one.rule] for one in self.dropped],
            "absent": self.absent,
        }


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is taught, what is held out, and why the rest is neither."""

    taught: list[Dialogue]
    held_out: list[Dialogue]
    report: Report
    sha256: str


def prepare(part: DataPart, seed: int) -> Prepared:
    """Read and clean everything that the recipe names; raises DataError."""
    report = Report()
    found: list[Dialogue] = []
    near = Near(part.near_duplicate)
    exact = {same(text): "evaluation" for text in _forbidden(part.never, near)}
    forbidden = len(exact)
    for source in part.sources:
        cleaned = _clean(_dialogues(source, report), source, report)
        fresh = list(_fresh(cleaned, exact, near, forbidden, part, report))
        found += _limited(fresh, source, report)
    if not found:
        raise DataError("No row is left to learn from: `python -m training check` says why.")
    report.kept.update(dialogue.source for dialogue in found)
    taught, held_out = split(found, part.held_out, seed)
    return Prepared(taught, held_out, report, fingerprint(found))


def fingerprint(dialogues: Iterable[Dialogue]) -> str:
    """A hash of everything that is taught or held out, in its order."""
    hashed = hashlib.sha256()
    for dialogue in dialogues:
        for turn in dialogue.turns:
            hashed.update(f"{turn.role}\0{turn.text}\0".encode("utf-8", "replace"))
    return hashed.hexdigest()


def _dialogues(source: Source, report: Report) -> list[Dialogue]:
    rows, name = sources.read(source), _short(source.path)
    if not rows:
        report.absent.append(name)
    report.read[name] += len(rows)
    found = []
    for row_id, row in rows:
        try:
            turns = turns_of(row)
        except Unreadable as error:
            report.dropped.append(Dropped(row_id, name, "format", str(error), ""))
            continue
        dialogue = Dialogue(row_id, name, turns, "")
        group = str(row.get("questionID") or same(dialogue.question))
        found.append(Dialogue(row_id, name, turns, f"{name}/{group}"))
    return found


def _clean(dialogues: Sequence[Dialogue], source: Source, report: Report) -> Iterable[Dialogue]:
    if source.lint == "none":
        yield from dialogues
        return
    for dialogue in dialogues:
        try:
            better, rules = repaired(dialogue)
        except Unfit as unfit:
            report.drop(dialogue, unfit.rule, str(unfit))
            continue
        report.repaired.update(rules)
        yield better


def _fresh(
    dialogues: Iterable[Dialogue],
    exact: dict[str, str],
    near: Near,
    forbidden: int,
    part: DataPart,
    report: Report,
) -> Iterable[Dialogue]:
    """Without what was seen before, and without what may only test."""
    for dialogue in dialogues:
        key = same(dialogue.text)
        asked = exact.get(same(dialogue.question))
        if asked == "evaluation":
            report.drop(dialogue, "evaluation", "is in an evaluation-only set")
        elif key in exact:
            report.drop(dialogue, "duplicate", "is the same as an earlier one")
        elif part.near_duplicate < 1 and (other := near.add(dialogue.text)[1]) is not None:
            evaluation = other < forbidden
            rule = "evaluation" if evaluation else "near-duplicate"
            where = "an evaluation-only text" if evaluation else "an earlier one"
            report.drop(dialogue, rule, f"is nearly the same as {where}")
        else:
            exact[key] = "taught"
            yield dialogue


def _limited(found: list[Dialogue], source: Source, report: Report) -> list[Dialogue]:
    if source.limit is None or len(found) <= source.limit:
        return found
    ranked = sorted(found, key=lambda d: digest(d.source, d.id, d.text))
    chosen = {id(one) for one in ranked[: source.limit]}
    for dialogue in ranked[source.limit :]:
        report.drop(dialogue, "limit", f"is beyond the recipe's limit of {source.limit}")
    return [one for one in found if id(one) in chosen]


def _forbidden(paths: Sequence[str], near: Near) -> list[str]:
    texts = {same(text): text for text in probes.texts()}
    for path in paths:
        for _, row in sources.read(Source(path)):
            for text in _strings(row):
                if len(same(text).split()) >= 4:
                    texts.setdefault(same(text), text)
    for text in texts.values():
        near.add(text)
    return list(texts.values())


def _strings(value: Any) -> Iterable[str]:
    """Every text in a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def _short(path: str) -> str:
    return path if sources.is_shipped(path) else Path(path).name


Say = Callable[[str], None]
