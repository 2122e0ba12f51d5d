"""Finds texts that are nearly the same: the proof that no evaluation text was learnt from.

Compares sets of words and of letter runs. Knows nothing of where texts come from.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")
_RUN = 5  # letters in a run
_ENOUGH = 4  # texts of fewer words are compared whole


@dataclass(frozen=True, slots=True)
class Near:
    """Indices into the two lists, and how alike the texts are (Jaccard, 0 to 1)."""

    left: int
    right: int
    alike: float


def near(left: Sequence[str], right: Sequence[str], alike: float = 0.6) -> list[Near]:
    """All pairs, one text of each list, that share at least this much."""
    index: dict[str, list[int]] = defaultdict(list)
    sizes = []
    for i, text in enumerate(right):
        runs = shingles(text)
        sizes.append(len(runs))
        for run in runs:
            index[run].append(i)
    found = []
    for i, text in enumerate(left):
        runs = shingles(text)
        for j, shared in _shared(runs, index).items():
            value = shared / (len(runs) + sizes[j] - shared)
            if value >= alike:
                found.append(Near(i, j, round(value, 3)))
    return found


def shingles(text: str) -> frozenset[str]:
    """Runs of letters over the words of a text, case and punctuation gone."""
    words = _WORD.findall(text.casefold())
    plain = " ".join(words)
    if len(words) < _ENOUGH:
        return frozenset({plain})
    return frozenset(plain[i : i + _RUN] for i in range(len(plain) - _RUN + 1))


def _shared(runs: Iterable[str], index: dict[str, list[int]]) -> dict[int, int]:
    counts: dict[int, int] = defaultdict(int)
    for run in runs:
        for j in index.get(run, ()):
            counts[j] += 1
    return counts
