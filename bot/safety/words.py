"""Word-level repair: slang, typing errors, number-for-letter spelling, glued words.

Reads its tables from data files; knows nothing of sentences or risk.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from bot.safety.files import data_page
from bot.safety.glued import Glued

_LEET = {"0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g",
         "@": "a", "$": "s", "!": "i", "|": "li", "€": "e", "+": "t", "(": "c", "£": "l",
         "6": "g", "2": "z"}  # fmt: skip
_HIDING = frozenset("*#_-.~^%=/\\•·")
_RUN = re.compile(r"(.)\1+")
_LONG_RUN = re.compile(r"(.)\1{2,}")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_REAL_WORDS = frozenset({"worthles", "overdosed", "suicides", "overdoses"})


class Words:
    """The tables, and what they do to one token."""

    def __init__(self, vocabulary: Iterable[str]) -> None:
        tables = data_page("words.yaml")
        self._expand = {str(k): str(v).split() for k, v in tables["expand"].items()}
        self._hidden: list[str] = tables["hidden"]
        self._by_length: dict[int, list[str]] = {}
        for word in self._hidden:
            self._by_length.setdefault(len(word), []).append(word)
        self.english: frozenset[str] = frozenset(tables["english"])
        self._fuzzy = _misspellings(tables["fuzzy"])
        self.dress = _dress(tables["emoji"])
        signs = "".join(tables["emoji"])
        self.emoji_run = re.compile(f"([{signs}]{{8}})[{signs}]+")
        self._known = frozenset(vocabulary) | set(self._expand) | set(tables["fuzzy"])
        self._squeezed = {_RUN.sub(r"\1", word): word for word in sorted(self._known)}
        self._squeezed |= {_RUN.sub(r"\1", word): word for word in self._hidden}
        self.glued = Glued(self._known)

    def canonical(self, tokens: list[str]) -> list[str]:
        """Each token as the words that it stands for."""
        out: list[str] = []
        for token in tokens:
            for word in self._expand.get(token) or [self._one(token)]:
                out.extend(self._expand.get(word, (word,)))
        return _rejoined(out)

    def readable(self, raw: str) -> str:
        """One word between spaces, spelled out; signs around it stay."""
        body = raw.strip(".,!?;:\"'()[]{}“”‘’«»…")
        if not body:
            return raw
        plain = " ".join(self.canonical([self.undisguise(body) or body]))
        return raw.replace(body, plain, 1) if plain != body else raw

    def _one(self, token: str) -> str:
        if token in self._known:
            return token
        if _LONG_RUN.search(token):
            twice = _LONG_RUN.sub(r"\1\1", token)
            squeezed = _RUN.sub(r"\1", token)
            token = twice if twice in self._known else self._squeezed.get(squeezed, twice)
        elif (squeezed := _RUN.sub(r"\1", token)) != token and (
            self._squeezed.get(squeezed) in self._hidden
        ):
            token = self._squeezed[squeezed]
        return self._fuzzy.get(token, token)

    def undisguise(self, body: str) -> str | None:
        """The known word that digits or signs in `body` stand for, or None."""
        if not 2 <= len(body) <= 24 or body.isdigit():
            return None
        lowered = body.replace("|<", "k").replace("\\/", "v").replace("()", "o")
        if any(c in _LEET for c in lowered) and (found := self._from_leet(lowered)):
            return found
        if any(c in _HIDING for c in lowered):
            bare = "".join(c for c in lowered if c not in _HIDING)
            if len(bare) > 2 and bare in self._hidden:
                return bare
            return self._from_stars(lowered)
        return None

    def _from_leet(self, body: str) -> str | None:
        if not any(c.isalpha() for c in body) and len(body) < 4:
            return None
        choices = [_LEET.get(c, c) for c in body]
        for letters in itertools.islice(itertools.product(*choices), 8):
            word = "".join(letters)
            if word in self._known or word in self._hidden:
                return word
        word = self._squeezed.get(_RUN.sub(r"\1", "".join(c[0] for c in choices)), "")
        return word if word in self._hidden else None

    def _from_stars(self, body: str) -> str | None:
        if sum(c.isalpha() for c in body) < 2:
            return None
        for word in self._by_length.get(len(body), ()):
            if all(b == w or b in _HIDING for b, w in zip(body, word, strict=True)):
                return word
        return None


def _rejoined(tokens: list[str]) -> list[str]:
    """`my self` is `myself`, unless it is `my self esteem` and the like."""
    out: list[str] = []
    for i, token in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else ""
        if token == "self" and out[-1:] == ["my"] and after not in _SELF_COMPOUNDS:
            out[-1] = "myself"
        else:
            out.append(token)
    return out


_SELF_COMPOUNDS = frozenset(
    {
        "awareness", "care", "confidence", "control", "criticism", "discipline", "doubt",
        "employed", "esteem", "harm", "harming", "hatred", "image", "improvement", "injury",
        "loathing", "love", "respect", "talk", "worth",
    }
)  # fmt: skip


def _misspellings(words: Iterable[str]) -> dict[str, str]:
    """Every text one slip away from each word."""
    table: dict[str, str] = {}
    for word in words:
        cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
        slips = {a + b[1:] for a, b in cuts if b}
        slips |= {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
        slips |= {a + c + b[1:] for a, b in cuts if b for c in _ALPHABET}
        slips |= {a + c + b for a, b in cuts for c in _ALPHABET}
        table.update(dict.fromkeys(slips - _REAL_WORDS, word))
    return table


def _dress(emoji: dict[str, str]) -> dict[int, str]:
    """One character to what it reads as."""
    table: dict[int, str] = {}
    for letter, twins in data_page("confusables.yaml").items():
        for twin in twins:
            table[ord(twin)] = letter
            if len(twin.upper()) == 1 and not twin.upper().isascii():
                table.setdefault(ord(twin.upper()), letter)
    for start in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6):  # squared, circled, flags
        table.update({start + i: letter for i, letter in enumerate(_ALPHABET)})
    table.pop(ord("|"), None)
    table.update({ord(sign): f" {word} " for sign, word in emoji.items()})
    return table
