"""What a check can find: plain data. Knows nothing of what is checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["well", "note", "ill"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`ill` keeps the service from working, a `note` does not; `mend` says what to do."""

    part: str
    state: State
    sentence: str
    mend: str = ""


def well(part: str, sentence: str) -> Finding:
    """Nothing to do."""
    return Finding(part, "well", sentence)


def note(part: str, sentence: str, mend: str) -> Finding:
    """Works, and could be better."""
    return Finding(part, "note", sentence, mend)


def ill(part: str, sentence: str, mend: str) -> Finding:
    """Does not work."""
    return Finding(part, "ill", sentence, mend)
