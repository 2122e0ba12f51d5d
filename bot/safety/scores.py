"""What a classifier says, what it says of itself, and that there is none.

Needs neither torch nor the classifier's package, so that rules work alone
where these are missing. Knows nothing of how scores are made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

# A message alone, after others, and in words that the encoder hardly knows.
ALONE, CONTEXT, FOREIGN = WHERE = ("alone", "context", "foreign")
LIMITS = frozenset(
    f"{where}.{level}" for where in WHERE for level in ("concern", "high", "imminent")
)


def place(*, foreign: bool, in_context: bool) -> str:
    """Whose limits count, of WHERE."""
    return FOREIGN if foreign else CONTEXT if in_context else ALONE


class ClassifierMissing(Exception):
    """The rules must do alone; the sentence is for the operator."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Calibrated probabilities, and the kind of danger if there is any.

    `partly`: the time was up before a long text was read to its end. `foreign`: the encoder
    understands few of its words, so that the probabilities say less. `gravest`: the numbers of its
    windows, the gravest first, and those that were not read at the end.
    """

    concern: float
    high: float
    imminent: float
    category: str
    partly: bool = False
    foreign: bool = False
    gravest: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What training wrote beside the weights."""

    version: str
    encoder_sha256: str
    scale: float
    categories: tuple[str, ...]
    platt: tuple[tuple[float, float], ...]
    thresholds: Mapping[str, float]

    @classmethod
    def read(cls, text: str) -> Manifest:
        """Raises ValueError or KeyError for a broken file."""
        page = json.loads(text)
        if missing := sorted(LIMITS - set(page["thresholds"])):
            raise ValueError(f"the manifest has no limit {missing[0]}")
        return cls(
            version=str(page["version"]),
            encoder_sha256=str(page["encoder"]["sha256"]),
            scale=float(page["scale"]),
            categories=tuple(page["categories"]),
            platt=tuple((float(a), float(b)) for a, b in page["platt"]),
            thresholds={str(k): float(v) for k, v in page["thresholds"].items()},
        )
