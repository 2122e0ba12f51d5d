"""One conversation to learn from. Knows turns; knows no files, rules or tokens."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from model.types import Turn


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns that alternate and end with the assistant's.

    `group` names the question: dialogues of one group never stand on both
    sides of the split.
    """

    id: str
    source: str
    turns: tuple[Turn, ...]
    group: str

    @property
    def question(self) -> str:
        """The person's first words."""
        return next((turn.text for turn in self.turns if turn.role == "user"), "")

    @property
    def text(self) -> str:
        """All turns, one a line."""
        return "\n".join(turn.text for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that is not trained on, and why."""

    id: str
    source: str
    rule: str
    reason: str
    question: str


def same(text: str) -> str:
    """A text without what does not matter: case, punctuation, spacing."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def digest(*parts: str) -> int:
    """A number that depends on the texts alone, the same in every process."""
    joined = "\0".join(parts).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big")
