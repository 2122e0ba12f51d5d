"""Short fixed texts by language, from data/spoken.yaml. Knows nothing of when they are said."""

from __future__ import annotations

from functools import cache

from bot.safety.files import data_page


def spoken(name: str, language: str) -> str:
    """The text in the person's language, in English where there is none; KeyError for a name."""
    texts = _texts()[name]
    return texts.get(language.lower().replace("_", "-").split("-")[0], texts["en"])


@cache
def _texts() -> dict[str, dict[str, str]]:
    page: dict[str, dict[str, str]] = data_page("spoken.yaml")["texts"]
    return page
