"""The reviewed tables that put other languages into English, as files. Knows their format alone."""

from __future__ import annotations

from collections.abc import Iterator

from bot.safety.files import data_text

LANGUAGES = ("de", "es", "fr", "hi", "id", "pt")
_FOLDER = "gloss"


def entries(language: str) -> Iterator[tuple[str, str]]:
    """What is written, a word or a phrase, and what it is in English."""
    for line in data_text(f"{_FOLDER}/{language}.tsv").splitlines():
        if line and not line.startswith("#"):
            said, english = line.split("\t")
            yield said, english


def english_words() -> list[str]:
    """Everyday English words."""
    return data_text(f"{_FOLDER}/en.txt").split()
