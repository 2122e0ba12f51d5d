"""PHQ-9 and GAD-7 as the reviewed file has them: questions, answers, bands, and all other words.

Adding up and naming a band is here too. Knows nothing of people, of where
answers are kept or of Telegram.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from bot.safety.files import data_page

FILE = "questionnaires.yaml"
LONGEST = 60  # characters that may be an answer


@dataclass(frozen=True, slots=True)
class Band:
    """Scores from `low` to `high`, both included."""

    low: int
    high: int
    name: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """One questionnaire. Items and answers are counted from 0, `danger_item` too."""

    key: str
    name: str
    about: str
    stem: str
    answers: tuple[str, ...]
    items: tuple[str, ...]
    bands: tuple[Band, ...]
    doctor_from: int
    means: str
    means_not: str
    source: str
    danger_item: int | None = None

    @property
    def most(self) -> int:
        """The highest score."""
        return len(self.items) * (len(self.answers) - 1)

    def band(self, score: int) -> Band:
        """The band that a score lies in; raises ValueError outside 0 to `most`."""
        for band in self.bands:
            if band.low <= score <= band.high:
                return band
        raise ValueError("no such score")

    def is_danger(self, item: int, value: int) -> bool:
        """Whether this answer is danger by itself."""
        return item == self.danger_item and value > 0

    def value_of(self, words: str) -> int | None:
        """The answer that these words are, and nothing but these: its number or its label."""
        if len(words) > LONGEST:
            return None
        plain = " ".join(unicodedata.normalize("NFKC", words).casefold().split()).rstrip(".")
        for value, label in enumerate(self.answers):
            if plain in (str(value), label.casefold(), f"{value} · {label.casefold()}"):
                return value
        return None


@dataclass(frozen=True, slots=True)
class Shelf:
    """All questionnaires, and the words around them."""

    version: str
    instruments: Mapping[str, Instrument]
    texts: Mapping[str, str]

    def may_answer(self, words: str) -> bool:
        """Whether these words are an answer in any of them."""
        return any(each.value_of(words) is not None for each in self.instruments.values())

    @classmethod
    def load(cls) -> Shelf:
        """What is shipped; raises KeyError or ValueError for a broken file."""
        return _loaded()


@cache
def _loaded() -> Shelf:
    page = data_page(FILE)
    made = {key: _instrument(key, found) for key, found in page["instruments"].items()}
    return Shelf(f"questionnaires{page['version']}-{page['date']}", made, page["texts"])


def _instrument(key: str, found: dict[str, Any]) -> Instrument:
    items, answers = tuple(found["items"]), tuple(found["answers"])
    danger = found.get("danger_item")
    return Instrument(
        key=key,
        name=found["name"],
        about=found["about"],
        stem=found["stem"],
        answers=answers,
        items=items,
        bands=_bands(found["bands"], len(items) * (len(answers) - 1)),
        doctor_from=found["doctor_from"],
        means=found["means"],
        means_not=found["means_not"],
        source=found["source"],
        danger_item=None if danger is None else danger - 1,
    )


def _bands(rows: list[dict[str, Any]], most: int) -> tuple[Band, ...]:
    """Each ends where the next begins; the first begins at 0."""
    starts = [int(row["from"]) for row in rows]
    if starts[0] != 0 or sorted(set(starts)) != starts or starts[-1] > most:
        raise ValueError("the bands are not in order")
    ends = [*(start - 1 for start in starts[1:]), most]
    return tuple(
        Band(low, high, row["name"]) for low, high, row in zip(starts, ends, rows, strict=True)
    )
