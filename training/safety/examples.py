"""Reads the written messages and conversations, and the two sets that may be trained on.

Evaluation-only sets are never opened here. Knows nothing of tokens or models.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

from training.data.sources import CORPUS, read_file, shipped_files

CATEGORIES = ("none", "suicide", "selfharm", "violence", "harm_others", "eating", "minor",
              "psychosis", "method")  # fmt: skip
SPLITS = ("train", "dev", "holdout")
_HELD_LABELS = "counsel_labels.csv"


@dataclass(frozen=True, slots=True)
class Example:
    """One message to judge. `earlier` are the person's messages before it, oldest first.

    `category` is None where nobody labelled it. `weight` scales its loss. `plain`: as most people
    write; the others were written to be hard to tell apart.
    """

    text: str
    level: int
    category: str | None
    split: str
    theme: str
    style: str
    language: str
    source: str
    earlier: tuple[str, ...] = ()
    weight: float = field(default=1.0, compare=False)
    plain: bool = False


class DataError(Exception):
    """A data file cannot be used; the sentence names the file and the line."""


def written() -> list[Example]:
    """All messages and conversation turns that were written for this project."""
    folder = files("training.safety") / "data"
    found: list[Example] = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".jsonl"):
            read = _turns if file.name.startswith("conversations") else _message
            plain = "plain" in file.name
            for row in _rows(file):
                found.extend(replace(e, plain=plain) for e in read(row))
    return found


def emphasised(examples: Sequence[Example], hard: float) -> list[Example]:
    """What is not plain counts for `hard` of its weight."""
    return [e if e.plain else replace(e, weight=e.weight * hard) for e in examples]


def supportive() -> list[Example]:
    """What people say in the dialogues that Lanner's model is taught: all of it ordinary distress.

    The last files are held out, and those before them are for development.
    """
    found: list[Example] = []
    paths = shipped_files(CORPUS)
    for number, path in enumerate(paths, 1):
        left = len(paths) - number
        split = "holdout" if left < _HELD_FILES else "dev" if left < 2 * _HELD_FILES else "train"
        for _, row in read_file(path):
            turns = [{**turn, "level": 0} for turn in row["turns"]]
            calm = {**row, "turns": turns, "language": "en", "split": split}
            found += (replace(e, category="none", source="corpus") for e in _turns(calm))
    return found


def shared(data: Path) -> list[Example]:
    """The training parts of counsel_chat and helios172 under `data`; all ordinary distress
    but for the questions whose label stands in counsel_labels.csv."""
    return [
        *_counsel(data / "counsel_chat/counsel_chat.jsonl"),
        *_helios(data / "helios172/train.jsonl"),
    ]


def _rows(file: Traversable) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            if row["split"] not in SPLITS:
                raise ValueError(row["split"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{file.name}, line {number}, is not a labelled row: {error}."
            ) from error
        yield row


def _message(row: dict[str, Any]) -> Iterator[Example]:
    if row["category"] not in CATEGORIES or row["level"] not in (0, 1, 2, 3):
        raise DataError(
            f"{row['id']}: level {row['level']} or category {row['category']} is unknown."
        )
    yield Example(row["text"], row["level"], row["category"], row["split"], row["theme"],
                  row["style"], row["language"], "written")  # fmt: skip


def _turns(row: dict[str, Any]) -> Iterator[Example]:
    said: list[str] = []
    gravest = 0
    for turn in row["turns"]:
        if turn["role"] != "user":
            continue
        # Some files tell the level of the talk rather than of the words: danger goes on in "ok".
        weight = _AFTER if min(gravest, turn["level"]) > 1 else 1.0
        yield Example(turn["text"], turn["level"], None, row["split"], row["theme"], row["style"],
                      row["language"], "conversation", tuple(said), weight)  # fmt: skip
        said.append(turn["text"])
        gravest = max(gravest, turn["level"])


_AFTER = 0.5
_HELD_FILES = 3
_EVERY = 3  # of many questions alike in kind, so that they do not outweigh the written ones


def _counsel(file: Path) -> Iterator[Example]:
    table = csv.DictReader(
        (files("training.safety") / "data" / _HELD_LABELS).read_text(encoding="utf-8").splitlines()
    )
    labels = {row["key"]: (int(row["level"]), row["category"]) for row in table}
    seen: set[str] = set()
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        text = f"{row['title']} {row['question'] or ''}".strip()
        key = hashlib.sha256(text.encode()).hexdigest()[:8]
        if row["split"] != "train" or key in seen or key not in labels:
            continue
        seen.add(key)
        level, category = labels[key]
        if level == 0 and len(seen) % _EVERY:
            continue
        yield Example(text, level, category, "train", "counsel_chat", "post", "en",
                      "counsel_chat", weight=0.7)  # fmt: skip


def _helios(file: Path) -> Iterator[Example]:
    for line in file.read_text(encoding="utf-8").splitlines():
        text = cast("str", json.loads(line)["text"])
        question = text.split("<ASSISTANT>")[0].replace("<HUMAN>:", "").strip()
        if "suicid" not in question.lower():
            yield Example(question, 0, "none", "train", "helios172", "question", "en",
                          "helios172", weight=0.7)  # fmt: skip
