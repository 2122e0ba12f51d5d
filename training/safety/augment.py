"""Writes a message as other thumbs would have: slips, no punctuation, run-ons.

`varied` keeps what it says, so the label stays. `rough` does not: what it makes can only be
judged by a network that is learnt from. Knows nothing of labels.
"""

from __future__ import annotations

import random
import re

from bot.safety.encoder import Tokens

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


_PART, _HOLES, _SWAPS = 0.35, 0.65, 0.85  # of what is made rough; the rest is put together
_GONE, _OTHER = 0.15, 0.15  # shares of tokens
_LONGEST = 70


def rough(window: Tokens, other: Tokens, random_: random.Random) -> Tokens:
    """A part of the text, or the text with holes, with words of another, or put together."""
    first = max(window.start, 1)
    own, theirs = [*window.ids[first:-1]], [*other.ids[max(other.start, 1) : -1]]
    dice = random_.random()
    if len(own) < 3 or not theirs:
        return window
    if dice < _PART:
        at = random_.randrange(len(own) - 2)
        own = own[at : at + max(3, int(len(own) * random_.uniform(0.3, 0.9)))]
    elif dice < _HOLES:
        own = [token for token in own if random_.random() > _GONE] or own
    elif dice < _SWAPS:
        own = [random_.choice(theirs) if random_.random() < _OTHER else token for token in own]
    else:
        own = (own + theirs if random_.random() < 0.5 else theirs + own)[:_LONGEST]
    return Tokens((*window.ids[:first], *own, window.ids[-1]), window.start)
