"""Reviews the project's own dialogues: `python -m training.corpus.check [files]`.

Every rule that training's lint knows, and stricter ones, since these rows were
written for this project and need no mercy: form, turns, lengths, one theme
told twice, words of the evaluation-only sets, crisis, medication, diagnosis,
names. Knows dialogues and rules; changes nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.types import Turn
from training import probes
from training.data import sources
from training.data.formats import Unreadable, turns_of
from training.data.lint import hits
from training.data.near import Near
from training.errors import DataError

FEWEST, MOST = 4, 24
LONGEST_REPLY, LONGEST_MESSAGE = 130, 220
# Shingles of 5 words: half of a text shared is a text told twice.
ALIKE = 0.3
# A reply that was used word for word elsewhere.
LEAST_WORDS = 8
STRICT = (
    ("medication", r"\b(?:medication|meds|antidepressants?|pills?|tablets?|dose|dosage)\b"),
    ("diagnosis", r"\b(?:diagnos\w+|disorder|symptoms? of)\b"),
    (
        "feelings",
        r"\b(?:I feel your|I know (?:exactly )?how you feel|I love you|I care about you)\b",
    ),
    ("person", r"\b(?:I(?:'m| am) (?:also |only |just )?human|in my own life|happened to me)\b"),
    ("promise", r"\b(?:I promise|everything will be (?:fine|okay|ok|alright)|you will be fine)\b"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a dialogue."""

    id: str
    rule: str
    words: str


def faults(rows: Sequence[tuple[str, dict[str, Any]]]) -> list[Fault]:
    """Every fault of every dialogue."""
    found: list[Fault] = []
    near, banned = Near(ALIKE), Near(ALIKE)
    for text in probes.texts():
        banned.add(text)
    known = len(probes.texts())
    ids, replies, names = Counter[str](), Counter[str](), list[str]()
    for key, row in rows:
        ids[key] += 1
        try:
            turns = turns_of(row)
        except Unreadable as error:
            found.append(Fault(key, "format", str(error)))
            continue
        found += _form(key, row, turns)
        found += [fault for turn in turns for fault in _content(key, turn)]
        replies.update({t.text for t in turns if t.role == "assistant"})
        text = "\n".join(turn.text for turn in turns)
        other = near.add(text)[1]
        if other is not None:
            found.append(Fault(key, "near-duplicate", f"of {names[other]}"))
        names.append(key)
        if any((at := banned.add(t.text)[1]) is not None and at < known for t in turns):
            found.append(Fault(key, "evaluation", "a turn is nearly one of an evaluation-only set"))
    found += [Fault(key, "id", "is used twice") for key, count in ids.items() if count > 1]
    return found + _reused(replies)


def _form(key: str, row: dict[str, Any], turns: Sequence[Turn]) -> Iterator[Fault]:
    for part in ("id", "theme", "style"):
        if not isinstance(row.get(part), str) or not row[part].strip():
            yield Fault(key, "form", f"lacks {part}")
    if row.get("turns", [{}])[-1].get("role") != "assistant":
        yield Fault(key, "form", "does not end with the assistant")
    if not FEWEST <= len(turns) <= MOST:
        yield Fault(key, "length", f"has {len(turns)} turns")
    for turn in turns:
        most = LONGEST_REPLY if turn.role == "assistant" else LONGEST_MESSAGE
        if len(turn.text.split()) > most:
            yield Fault(key, "length", f"a turn has {len(turn.text.split())} words")


def _content(key: str, turn: Turn) -> Iterator[Fault]:
    for hit in hits(turn.text, turn.role):
        yield Fault(key, hit.rule.id, hit.words)
    if turn.role == "assistant":
        for rule, pattern in STRICT:
            match = re.search(pattern, turn.text, re.IGNORECASE)
            if match and not _declines(turn.text, match.start()):
                yield Fault(key, rule, match[0])


def _declines(text: str, at: int) -> bool:
    """Whether the sentence says that this is not for the assistant to do."""
    begin = max(text.rfind(mark, 0, at) for mark in ".!?") + 1
    return bool(re.search(r"\b(?:can(?:no|['’])t|cannot|not able to)\b", text[begin:at]))


def _reused(replies: Counter[str]) -> list[Fault]:
    return [
        Fault("several", "reused", text[:80])
        for text, count in replies.items()
        if count > 1 and len(text.split()) >= LEAST_WORDS
    ]


def main(words: Sequence[str]) -> int:
    """Print every fault; 1 where there is one."""
    paths = [Path(word) for word in words] or sources.shipped_files(sources.CORPUS)
    try:
        rows = [row for path in paths for row in sources.read_file(path)]
    except DataError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = faults(rows)
    for fault in found:
        sys.stdout.write(f"{fault.id}: {fault.rule}: {fault.words}\n")
    counts = json.dumps(dict(Counter(fault.rule for fault in found)))
    sys.stdout.write(f"{len(rows)} dialogues in {len(paths)} files, {len(found)} faults {counts}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
