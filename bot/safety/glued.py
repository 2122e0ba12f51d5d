"""Finds the words in letters that stand without space between them.

Knows the words of the rules, of everyday English and of the glossaries; nothing of risk.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from bot.safety.files import data_text

LANGUAGES = ("de", "es", "fr", "hi", "id", "pt")
GLOSS = "gloss"
_MOST = 400
_WORD, _SHORT_WORD, _LEFT_OVER = 2, 3, 4  # what each costs, and each letter that no word covers
_SHORT = 2


class Glued:
    """`words` are known besides those of the tables."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)

    def split(self, letters: str) -> str:
        """`iwanttodie` as `i want to die`: in few words, with few letters left over."""
        known = self._words | _everyday()
        longest = max(map(len, known))
        letters = letters[:_MOST]
        best: list[tuple[int, str]] = [(0, "")]
        for end in range(1, len(letters) + 1):
            ways = [(best[-1][0] + _LEFT_OVER, best[-1][1] + letters[end - 1])]
            for start in range(max(0, end - longest), end):
                if (word := letters[start:end]) in known:
                    cost, before = best[start]
                    ways.append((cost + _cost(word), f"{before} {word} "))
            best.append(min(ways))
        return " ".join(best[-1][1].split())


def _cost(word: str) -> int:
    return _WORD if len(word) > _SHORT else _SHORT_WORD


@cache
def _everyday() -> frozenset[str]:
    """Read when first needed: hardly anybody writes so."""
    words = data_text(f"{GLOSS}/en.txt").split()
    for language in LANGUAGES:
        lines = data_text(f"{GLOSS}/{language}.tsv").splitlines()
        words += [line.split("\t")[0] for line in lines if not line.startswith("#")]
    return frozenset(word for word in words if len(word) > 1 and " " not in word)
