"""Finds plain statements of danger that were broken up, reversed or encoded.

A second, cruder look behind normalise.py: only letters count, so it does not
matter what stands between them. It fires only where the ordinary spelling does
not stand there, so that negation and idiom stay the business of the rules.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re

from bot.safety.rules import Finding

_PHRASES = (
    "killmyself", "killingmyself", "endmylife", "endingmylife", "wanttodie", "wannadie",
    "commitsuicide", "hangmyself", "takemyownlife", "takemylife", "cutmyself", "shootmyself",
    "iamsuicidal", "imsuicidal", "quierosuicidarme", "quieromorir", "matarme", "willsterben",
    "michumbringen", "veuxmourir", "mesuicider", "queromorrer", "mematar", "bunuhdiri", "suicide",
)  # fmt: skip
_FOUND = re.compile("|".join(_PHRASES))
_BASE64 = re.compile(r"[A-Za-z0-9+/]{14,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[ ]?){8,}")
_ROT13 = re.compile("|".join(codecs.encode(p, "rot13") for p in _PHRASES))
_FLIPPED = re.compile("|".join(p[::-1] for p in _PHRASES))
_NOT_LETTER = re.compile(r"[^a-z]+")
_DIET = re.compile(r"die(?:t(?!o)|s)")
_APOSTROPHES = re.compile("['’ʼ`´]")
_SPACES = re.compile(r"[\s,]+")


def hidden_danger(raw: str, folded: str) -> Finding | None:
    """A finding at level 3 (someone hides it, or wants a reader to miss it)."""
    letters, places = _letters(folded)
    if _broken_up(folded, letters, places):
        return Finding("suicide.disguised", 3)
    if _FLIPPED.search(letters) or _ROT13.search(letters):
        return Finding("suicide.disguised", 3)
    if any(_FOUND.search(_NOT_LETTER.sub("", text.lower())) for text in _decoded(raw)):
        return Finding("suicide.disguised", 3)
    return None


def _letters(folded: str) -> tuple[str, list[int]]:
    places = [i for i, char in enumerate(folded) if "a" <= char <= "z"]
    return "".join([folded[i] for i in places]), places


def _broken_up(folded: str, letters: str, places: list[int]) -> bool:
    for match in _FOUND.finditer(letters):
        start, end = places[match.start()], places[match.end() - 1] + 1
        before = folded[start - 1] if start else " "
        after = folded[end] if end < len(folded) else " "
        pieces = _SPACES.split(folded[start:end])
        if len(pieces) == 1 and pieces[0] == match[0]:
            # One run of letters: "skillmyself" and "wanttodiet" are other words.
            if match[0] != "suicide" and before != "s" and not _DIET.match(folded, end - 3):
                return True
            continue
        if not before.isalnum() and not after.isalnum() and not _ordinary(pieces, match[0]):
            return True
    return False


def _ordinary(pieces: list[str], phrase: str) -> bool:
    """True when only spaces part the words and no word is cut to bits."""
    pieces = [_APOSTROPHES.sub("", piece) for piece in pieces]  # "I'm" is one word
    if any(not piece.isalpha() for piece in pieces):
        return False
    return "".join(pieces) == phrase and sum(len(p) <= 2 for p in pieces) <= 1


def _decoded(raw: str) -> list[str]:
    out = []
    for found in _BASE64.findall(raw)[:20]:
        try:
            out.append(base64.b64decode(found + "=" * (-len(found) % 4)).decode("utf-8", "ignore"))
        except (binascii.Error, ValueError):
            continue
    for found in _HEX.findall(raw)[:20]:
        out.append(bytes.fromhex(found.replace(" ", "")).decode("utf-8", "ignore"))
    return out
