"""Writes a message as other thumbs would have: slips, no punctuation, run-ons.

Keeps what it says, so the label stays. Knows nothing of labels.
"""

from __future__ import annotations

import random
import re

_KEYS = {"a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj",
         "i": "uo", "j": "hk", "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o",
         "q": "wa", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc",
         "y": "tu", "z": "x"}  # fmt: skip
_OPENINGS = (
    "hi. ",
    "hey, ",
    "ok so ",
    "um ",
    "honestly ",
    "idk ",
    "so ",
    "look, ",
    "hello, ",
    "pls help. ",
)
_ENDINGS = (" lol", " idk", " i guess", " tbh", " sorry", " :(", " haha", " ...", " thanks", " x")


def varied(text: str, random_: random.Random) -> str:
    """`text` with at most a few small changes, often none."""
    if random_.random() < 0.4:
        return text
    if random_.random() < 0.3:
        text = re.sub(r"[,.!?'’\"]", "", text)
    if random_.random() < 0.3:
        text = _slips(text, random_)
    if random_.random() < 0.15:
        text = random_.choice(_OPENINGS) + text
    if random_.random() < 0.1:
        text += random_.choice(_ENDINGS)
    return text


def _slips(text: str, random_: random.Random) -> str:
    """About one typing error in twenty letters' neighbourhood."""
    out = list(text)
    for _ in range(max(1, len(text) // 60)):
        at = random_.randrange(max(1, len(out) - 1))
        if at + 1 >= len(out) or not out[at].isalpha():
            continue
        kind = random_.randrange(4)
        if kind == 0:
            out[at] = ""
        elif kind == 1:
            out[at], out[at + 1] = out[at + 1], out[at]
        elif kind == 2:
            out[at] = out[at] * 2
        else:
            out[at] = random_.choice(_KEYS.get(out[at].lower(), out[at]))
    return "".join(out)
