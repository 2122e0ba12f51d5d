"""Puts words of other languages into plain English, one by one, for an encoder that knows English.

A reviewed table for each language holds words and fixed phrases. What comes out is no
translation, but it says what it is about. Knows nothing of risk, and of grammar only what
stands in the tables.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.safety.glossaries import LANGUAGES, english_words, entries
from bot.safety.normalise import WORD

_NOTHING = "-"  # a word that is dropped
_BETWEEN = re.compile(r"[\s'’`´-]*")  # what may stand inside a phrase
_JOINTS = tuple("'’`´-")  # between two words that are put into English
_SENTENCE = re.compile(r"[.!?;\n\u0964]+")
_SHARE = 0.25  # of a message's words, that English does not know, before any is put into English
_PAIR = 2  # one such word in a longer message may be a name


@dataclass(frozen=True, slots=True)
class Word:
    """A word where it stands in the text; `folded` is the same without accents and disguise."""

    start: int
    end: int
    plain: str
    folded: str


@dataclass(slots=True)
class Table:
    """One language's words and phrases; both as written and folded."""

    words: dict[str, str] = field(default_factory=dict)
    longest: dict[str, int] = field(default_factory=dict)  # phrase, in words, by its first word

    def add(self, said: str, english: str) -> None:
        """The first to come stands."""
        if self.words.setdefault(said, english) is english:
            first, *more = said.split()
            self.longest[first] = max(self.longest.get(first, 1), 1 + len(more))

    def find(self, words: Sequence[Word]) -> tuple[int, str] | None:
        """How many of the words, from the first on, are put into which English."""
        first = words[0]
        most = max(self.longest.get(first.plain, 0), self.longest.get(first.folded, 0))
        for count in range(min(most, len(words)), 0, -1):
            for form in ("plain", "folded"):
                said = " ".join(getattr(word, form) for word in words[:count])
                if (english := self.words.get(said)) is not None:
                    return count, english
        return None

    def knows(self, word: Word) -> bool:
        """Whether the word alone is in it."""
        return word.plain in self.words or word.folded in self.words


class Gloss:
    """`fold` takes accents and disguise from a word; `english` are words that English knows."""

    def __init__(
        self, tables: Mapping[str, Table], english: Iterable[str], fold: Callable[[str], str]
    ) -> None:
        self._tables, self._english, self._fold = dict(tables), frozenset(english), fold

    @classmethod
    def load(cls, fold: Callable[[str], str]) -> Gloss:
        """The tables that come with Lanner."""
        tables = {language: _table(language, fold) for language in LANGUAGES}
        return cls(tables, english_words(), fold)

    def english(self, text: str) -> str:
        """`text` in lower case, with what is foreign in it put into English; English as it is."""
        text = unicodedata.normalize("NFKC", text).lower()
        words = [
            Word(m.start(), m.end(), m[0], m[0] if m[0].isascii() else self._fold(m[0]))
            for m in WORD.finditer(text)
        ]
        table = self._language(words)
        if table is None:
            return text
        out, at = [], 0
        for sentence in _sentences(text, words):
            for start, end, english in self._put(text, sentence, table):
                between = text[at:start]
                out += [" " if between in _JOINTS else between, english]
                at = end
        return "".join([*out, text[at:]])

    def _language(self, words: Sequence[Word]) -> Table | None:
        """The table that knows most of what English does not; None for English."""
        foreign = self._foreign(words)
        if len(foreign) < _SHARE * len(words):
            return None
        known: Counter[str] = Counter()
        for word in foreign:
            known.update(name for name, table in self._tables.items() if table.knows(word))
        for name, count in known.most_common(1):
            if count >= min(_PAIR, len(words)) and count >= _SHARE * len(words):
                return self._tables[name]
        return None

    def _foreign(self, words: Sequence[Word]) -> list[Word]:
        return [word for word in words if word.plain not in self._english]

    def _put(self, text: str, words: list[Word], table: Table) -> Iterable[tuple[int, int, str]]:
        """Pieces of a sentence, and what stands for them."""
        foreign = self._foreign(words)
        mixed = len(words) - len(foreign) > sum(map(table.knows, foreign))
        at = 0
        while at < len(words):
            found = table.find(_unbroken(text, words[at:]))
            count = found[0] if found else 1
            own = words[at : at + count]
            if found and not (mixed and not self._foreign(own)):
                yield own[0].start, own[-1].end, found[1].replace(_NOTHING, "")
            at += count


def _sentences(text: str, words: Sequence[Word]) -> Iterable[list[Word]]:
    """The words of each sentence."""
    ends = [found.start() for found in _SENTENCE.finditer(text)]
    left = list(words)
    for end in (*ends, len(text)):
        own = [word for word in left if word.start < end]
        if own:
            yield own
            left = left[len(own) :]


def _unbroken(text: str, words: Sequence[Word], most: int = 7) -> Sequence[Word]:
    """The words from the first on, as far as nothing but space stands between them."""
    for at, (one, two) in enumerate(itertools.pairwise(words[:most])):
        if not _BETWEEN.fullmatch(text, one.end, two.start):
            return words[: at + 1]
    return words[:most]


def _table(language: str, fold: Callable[[str], str]) -> Table:
    table = Table()
    for said, english in entries(language):
        table.add(said, english)
        if not said.isascii():
            table.add(fold(said), english)
    return table
