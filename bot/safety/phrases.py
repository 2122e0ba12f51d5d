"""Turns the plain phrases of a rule file into one pattern.

`<3>` stands for up to three words, `{NAME}` for a list from the same file.
Knows nothing of levels or of what phrases mean.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from bot.safety.anchors import anchors
from bot.safety.normalise import UNWRITTEN

_GAP = re.compile(r" ?<(\d+)> ?")
_LAST_GAP = re.compile(r" <\d+>(?=[|)]|$)")


def anchor_words(phrases: Iterable[str], macros: dict[str, str]) -> frozenset[str]:
    """Words of which one must be there for any phrase to match; empty: run always."""
    words: set[str] = set()
    for phrase in phrases:
        found = anchors(_folded(_expanded(phrase, macros)))
        if found is None:
            return frozenset()
        words |= found
    return frozenset(words)


def _expanded(phrase: str, macros: dict[str, str]) -> str:
    for name, words in macros.items():
        phrase = phrase.replace("{" + name + "}", words)
    if left := re.search(r"\{[A-Z]", phrase):
        raise ValueError(f"unknown list in {phrase!r} at {left.start()}")
    return phrase


def compiled(phrases: Iterable[str], macros: dict[str, str]) -> re.Pattern[str]:
    """One pattern that finds any of the phrases between spaces."""
    parts = []
    for phrase in phrases:
        # A gap at the end of a phrase is only there for a reader.
        plain = _folded(_LAST_GAP.sub("", _expanded(phrase, macros)))
        parts.append(_GAP.sub(lambda g: f"(?: [^ ]+){{0,{g[1]}}} ", plain))
    return re.compile(" (?:" + "|".join(parts) + ") ")


def _folded(phrase: str) -> str:
    """Spelled as normalise.py leaves it; only Indic signs differ."""
    return unicodedata.normalize("NFKD", phrase).translate(UNWRITTEN)
