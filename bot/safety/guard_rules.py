"""What a model must never say, as patterns over its plain text.

Claims to be a person or a professional, diagnoses, doses, telephone numbers,
methods of self-harm and encouragement to it, despair of its own. Knows nothing
of streaming.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from bot.safety.files import data_page

_QUOTES = str.maketrans(
    {"’": "'", "‘": "'", "‑": "-", "–": "-", "—": " - ", "*": "", "_": "", "`": ""}
)
# A quotation that has not ended yet goes on to the end of what is there.
_QUOTED = re.compile(
    r"\"[^\"]*(?:\"|$)|“[^”]*(?:”|$)|„[^“”]*(?:[“”]|$)|«[^»]*(?:»|$)"
    r"|(?<!\w)'(?=\w)(?:[^'\"]|(?<=\w)'(?=\w)){1,200}'(?!\w)"
)


@cache
def _rules() -> tuple[tuple[str, re.Pattern[str], bool], ...]:
    page = data_page("guard.yaml")
    found = []
    for name, patterns in page["rules"].items():
        whole = "|".join(f"(?:{pattern})" for pattern in patterns)
        for macro, meaning in page["macros"].items():
            whole = whole.replace("{" + macro + "}", meaning)
        found.append((str(name), re.compile(whole), name in page["unless_quoted"]))
    return tuple(found)


def broken_rule(text: str) -> str | None:
    """The name of the first rule that `text` breaks, or None."""
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    plain = re.sub(r"\s+", " ", plain.translate(_QUOTES).casefold())
    own = _QUOTED.sub(" ", plain)
    for name, pattern, unless_quoted in _rules():
        if pattern.search(own if unless_quoted else plain):
            return name
    return None
