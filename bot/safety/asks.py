"""Whether a person asks what they are talking to: a human being or a program.

In any wording and seven languages; the patterns are in data/asks.yaml. Knows
nothing of what is answered.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from bot.safety.files import data_page

_APOSTROPHES = re.compile(r"[’'`´ʼ]")
_NOT_WORDS = re.compile(r"[^\w\u0900-\u097f]+")
_ENDS = re.compile(r"[.!?;\n।]+")
_LONGEST = 2000


def asks_what_it_is(text: str) -> bool:
    """True also where the question stands among other words."""
    return any(
        pattern.search(sentence) for sentence in _sentences(text[:_LONGEST]) for pattern in _asks()
    )


def _sentences(text: str) -> list[str]:
    """Each once with apostrophes left out (youre) and once with them as gaps (c est)."""
    lowered = text.casefold()
    found = []
    for joined in ("", " "):
        for part in _ENDS.split(_APOSTROPHES.sub(joined, lowered)):
            found.append(_NOT_WORDS.sub(" ", _bare(part)).strip())
    return [part for part in dict.fromkeys(found) if part]


def _bare(text: str) -> str:
    """Latin letters without accents; other scripts as they are."""
    parts = unicodedata.normalize("NFKD", text)
    bare = "".join(c for c in parts if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFC", bare)


@cache
def _asks() -> tuple[re.Pattern[str], ...]:
    page = data_page("asks.yaml")
    found = []
    for patterns in page["patterns"].values():
        for pattern in patterns:
            for name, words in page["lists"].items():
                pattern = pattern.replace("{" + name + "}", words)
            found.append(re.compile(unicodedata.normalize("NFC", pattern)))
    return tuple(found)
