"""What a model must never say, as patterns over its plain text.

Claims to be a person or a professional, diagnoses, doses, telephone numbers,
methods of self-harm and encouragement to it. Knows nothing of streaming.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import yaml

from bot.safety.files import data_text

_QUOTES = str.maketrans(
    {"’": "'", "‘": "'", "‑": "-", "–": "-", "—": " - ", "*": "", "_": "", "`": ""}
)


@cache
def _rules() -> tuple[tuple[str, re.Pattern[str]], ...]:
    page = yaml.safe_load(data_text("guard.yaml"))
    return tuple(
        (str(name), re.compile("|".join(f"(?:{p})" for p in patterns)))
        for name, patterns in page["rules"].items()
    )


def broken_rule(text: str) -> str | None:
    """The name of the first rule that `text` breaks, or None."""
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    plain = re.sub(r"\s+", " ", plain.translate(_QUOTES).casefold())
    for name, pattern in _rules():
        if pattern.search(plain):
            return name
    return None
