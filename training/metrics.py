"""Numbers about replies and losses: endings, repetition, variety, memory, intervals.

Knows texts and floats; knows nothing of models or files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.data.dialogue import same
from training.data.lint import hits
from training.generate import Reply

RESAMPLES, CONFIDENCE = 4000, 0.95
REPEAT, COPY = 4, 8
# What a reply must not do; a reply may well speak of a crisis that it was told of.
UNWANTED = (
    "refuses-help", "dose", "medication", "diagnosis", "person", "phone", "link", "placeholder",
    "name",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference with its paired bootstrap interval."""

    value: float
    low: float
    high: float


def paired_difference(
    base: Sequence[float],
    adapter: Sequence[float],
    tokens: Sequence[int],
    groups: Sequence[str],
    seed: int = 0,
) -> Interval:
    """Adapter's mean loss a token less the base's; whole questions are drawn anew.

    Efron & Tibshirani, 1993: resampling examples of one question apart would
    make the interval too narrow.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(names), 2))
    for one, other, count, name in zip(base, adapter, tokens, groups, strict=True):
        sums[names[name]] += (other - one, count)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    totals = sums[drawn].sum(axis=1)
    spread = np.sort(totals[:, 0] / totals[:, 1])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(spread, [tail, 1 - tail])
    return Interval(float(sums[:, 0].sum() / sums[:, 1].sum()), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Style:
    """How a set of replies is written; shares are from 0 to 1."""

    replies: int
    ended: float
    words: float
    repetition: float
    distinct_1: float
    distinct_2: float
    copied: float
    longest_copy: int
    unwanted: float
    unwanted_rules: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Taught:
    """Every run of COPY words that was taught, to find what a model repeats from memory."""

    def __init__(self, replies: Iterable[str]) -> None:
        self._runs = {run for reply in replies for run in _runs(_words(reply), COPY)}

    def copied(self, reply: str) -> tuple[float, int]:
        """(share of the reply's words inside taught runs, words of the longest)."""
        words = _words(reply)
        inside = [False] * len(words)
        longest = run = 0
        for at, found in enumerate(_runs(words, COPY)):
            run = run + 1 if found in self._runs else 0
            if run:
                inside[at : at + COPY] = [True] * COPY
                longest = max(longest, run + COPY - 1)
        return (sum(inside) / len(words) if words else 0.0), longest


def style(replies: Sequence[Reply], taught: Taught) -> Style:
    """All numbers about one model's replies."""
    texts = [reply.text for reply in replies]
    copies = [taught.copied(text) for text in texts]
    met = [[h.rule.id for h in hits(text, "assistant") if h.rule.id in UNWANTED] for text in texts]
    return Style(
        replies=len(replies),
        ended=_mean([reply.ended for reply in replies]),
        words=_mean([len(_words(text)) for text in texts]),
        repetition=_mean([repetition(text) for text in texts]),
        distinct_1=distinct(texts, 1),
        distinct_2=distinct(texts, 2),
        copied=_mean([share for share, _ in copies]),
        longest_copy=max((longest for _, longest in copies), default=0),
        unwanted=_mean([bool(rules) for rules in met]),
        unwanted_rules=dict(Counter(rule for rules in met for rule in rules)),
    )


def repetition(text: str) -> float:
    """Share of 4-word runs that came before in the same reply."""
    runs = list(_runs(_words(text), REPEAT))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def distinct(texts: Iterable[str], size: int) -> float:
    """Different runs of words among all, over all replies (Li et al., 2016)."""
    runs = [run for text in texts for run in _runs(_words(text), size)]
    return len(set(runs)) / len(runs) if runs else 0.0


def _words(text: str) -> list[str]:
    return same(text).split()


def _runs(words: Sequence[str], size: int) -> Iterable[tuple[str, ...]]:
    return (tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values)) if values else 0.0
