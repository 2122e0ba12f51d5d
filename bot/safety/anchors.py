"""Finds, for a phrase, words of which at least one must stand in any text it matches.

Lets rules.py pass over a rule without running it. When a phrase is too
intricate the answer is None: the rule then always runs, so nothing is missed.
Knows nothing of what phrases mean.
"""

from __future__ import annotations

import re

_SIMPLE = re.compile(r"[^\W_]+(?:[\u0900-\u0dff]+[^\W_]*)*")
_PLURAL = re.compile(r"([^\W_]+)\?")
_EVERYDAY = frozenset(
    {
        "a", "am", "an", "and", "are", "at", "be", "been", "by", "can", "did", "do", "does", "for",
        "from", "has", "have", "he", "how", "i", "if", "in", "is", "it", "just", "me", "my", "no",
        "not", "of", "on", "or", "she", "so", "that", "the", "they", "this", "to", "was", "we",
        "what", "will", "with", "would", "you",
    }
)  # fmt: skip
_UNSURE = "\0"  # no word: stands where a word may go on
# "good ?bye" is one word or two.
_OPTIONAL_BLANK = re.compile(r"[^\W_]* \?[^\W_]*")


def anchors(phrase: str) -> frozenset[str] | None:
    """Words of which one must be there, or None when none is certain."""
    plain = _OPTIONAL_BLANK.sub(_UNSURE, _without_optional(phrase))
    found = [words for part in _parts(plain) if (words := _words(part))]
    return min(found, key=_cost) if found else None


def _cost(words: frozenset[str]) -> tuple[int, int]:
    return len(words & _EVERYDAY), len(words)


def _words(part: str) -> frozenset[str] | None:
    """The words that one place in a phrase can hold; None when not plain."""
    if _SIMPLE.fullmatch(part):
        return frozenset({part})
    if plural := _PLURAL.fullmatch(part):
        return frozenset({plural[1], plural[1][:-1]})
    if part.startswith("(?:") and _end(part, 0) == len(part):
        choices = [anchors(choice) for choice in _split(part[3:-1], "|")]
        if all(choices):
            return frozenset().union(*(c for c in choices if c))
    return None


def _parts(phrase: str) -> list[str]:
    return [part for part in _split(phrase, " ") if part and not part.startswith("<")]


def _split(text: str, at: str) -> list[str]:
    """Split outside brackets only."""
    parts, depth, current = [], 0, ""
    for i, char in enumerate(text):
        escaped = i and text[i - 1] == "\\"
        depth += (char in "([") - (char in ")]") if not escaped else 0
        if char == at and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current]


def _without_optional(phrase: str) -> str:
    """The phrase less every group that may be left out."""
    out, i = "", 0
    while i < len(phrase):
        if phrase.startswith("(?:", i):
            end = _end(phrase, i)
            if phrase[end : end + 1] in ("?", "*"):
                i = end + 1
                inside = phrase[i + 3 : end - 1]
                apart = inside.startswith(" ") or out[-1:] in ("", " ")
                out += (" " if apart else _UNSURE) + ("" if inside.endswith(" ") else _UNSURE)
                i = end + 1
                inside = phrase[i + 3 : end - 1]
                out += (
                    " " if inside.startswith(" ") else _UNSURE if out[-1:] not in ("", " ") else ""
                )
                out += _UNSURE if not inside.endswith(" ") and phrase[i:] != "" else ""
                continue
            out += phrase[i:end]
            i = end
            continue
        out += phrase[i]
        i += 1
    return out


def _end(text: str, start: int) -> int:
    """The offset after the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        escaped = i and text[i - 1] == "\\"
        depth += (text[i] == "(") - (text[i] == ")") if not escaped else 0
        if depth == 0:
            return i + 1
    return len(text)
