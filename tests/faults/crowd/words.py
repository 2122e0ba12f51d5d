"""What the crowd says and hears. Each message carries a mark by which its reply is known.

No two messages are alike, as with people: what the bot remembers of a text it
saw before would make it look faster than it is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

SPOKEN = " That is what I heard, in your turn "
_MARK = re.compile(r"\bt(\d+)x(\d+)\b")
_WHO = ("My sister", "My boss", "The neighbour", "My oldest friend", "A colleague", "My teacher")
_DID = (
    "asked me about the holidays", "forgot our plan for dinner", "sent me a long letter",
    "talked about the new house", "wants to paint the kitchen", "came late to the train again",
)  # fmt: skip
_THEN = (
    "I did not know what to say", "it made me a little tired", "we laughed about it later",
    "I have been thinking about it all morning", "I went for a walk by the river after that",
    "it was a long day at work as well",
)  # fmt: skip
_HEARD = ("I", "hear", "you", "and", "I", "am", "here", "so", "please", "tell", "me", "more")


def mark_of(person: int, number: int) -> str:
    """A person's message by its number."""
    return f"t{person}x{number}"


def mark_in(text: str) -> str:
    """The mark in a text, empty for none."""
    found = _MARK.search(text)
    return found[0] if found else ""


def person_of(mark: str) -> int:
    """Whose message it is."""
    return int(mark[1:].partition("x")[0])


def number_of(mark: str) -> int:
    """Which of the person's messages it is."""
    return int(mark.partition("x")[2])


def message(rng: random.Random, mark: str) -> str:
    """About twenty everyday words."""
    return f"{rng.choice(_WHO)} {rng.choice(_DID)} and {rng.choice(_THEN)}. Note {mark}."


def words_before(words: int) -> Iterator[str]:
    """A reply's words before its last ones."""
    for at in range(words):
        yield ("" if at == 0 else " ") + _HEARD[at % len(_HEARD)]
