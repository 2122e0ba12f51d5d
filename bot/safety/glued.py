"""Finds the words in letters that stand without space between them.

Knows the words of the rules, of everyday English and of the glossaries; nothing of risk.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from bot.safety.glossaries import LANGUAGES, english_words, entries

_WORD, _SHORT_WORD, _LEFT_OVER = 2, 3, 4  # what each costs, and each letter that no word covers
_SHORT = 2


class Glued:
    """`words` are known besides those of the tables."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)

    def split(self, letters: str) -> str:
        """`iwanttodie` as `i want to die`: in few words, with few letters left over."""
        out, end = "", len(letters)
        begins = self._begins(letters)
        while end:
            start = begins[end]
            piece = letters[start:end]
            out = (f" {piece} " if piece in self._known else piece) + out
            end = start
        return " ".join(out.split())

    @cached_property
    def _known(self) -> frozenset[str]:
        """Read when first needed: hardly anybody writes so."""
        return self._words | _everyday()

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._known))

    def _begins(self, letters: str) -> list[int]:
        """For each end, where the last word of the cheapest way to get there begins."""
        best = [(0, 0)]
        for end in range(1, len(letters) + 1):
            ways = [(best[-1][0] + _LEFT_OVER, end - 1)]
            ways += [
                (best[start][0] + _cost(end - start), start)
                for start in range(max(0, end - self._longest), end)
                if letters[start:end] in self._known
            ]
            best.append(min(ways))
        return [start for _, start in best]


def _cost(length: int) -> int:
    return _WORD if length > _SHORT else _SHORT_WORD


def _everyday() -> frozenset[str]:
    words = english_words()
    for language in LANGUAGES:
        words += [said for said, _ in entries(language)]
    return frozenset(word for word in words if len(word) > 1 and " " not in word)
