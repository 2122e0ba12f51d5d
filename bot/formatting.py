"""Text with Markdown to text with entities: never a parse mode, so never a parse error."""

from __future__ import annotations

import re
from dataclasses import dataclass

from telegram import MessageEntity
from telegramify_markdown import convert

LIMIT = 4096
MOST_ENTITIES = 100
STYLES = ("bold", "italic", "code", "pre", "strikethrough", "underline")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*\s+|\n+")


@dataclass(frozen=True, slots=True)
class Formatted:
    """What Telegram takes."""

    text: str
    entities: list[MessageEntity]


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "replace")) // 2


def formatted(text: str) -> Formatted:
    """Plain text where the Markdown is too much or too odd."""
    try:
        plain, marks = convert(text.replace("<", "\\<"))
    except Exception:
        # A formatter's fault must never cost a reply.
        return Formatted(text, [])
    kept = [
        MessageEntity(type=m.type, offset=m.offset, length=m.length)
        for m in marks
        if m.type in STYLES
    ]
    if not plain.strip() or len(kept) > MOST_ENTITIES or units(plain) > LIMIT:
        return Formatted(text, [])
    return Formatted(plain, kept)


def parts(text: str, limit: int = 3900) -> list[str]:
    """Pieces of at most `limit` UTF-16 units, cut at sentence ends where there are any."""
    found = []
    while units(text) > limit:
        # A surrogate pair that is cut in half is dropped from this piece and stays in the rest.
        head = text.encode("utf-16-le")[: limit * 2].decode("utf-16-le", "ignore")
        ends = [m.end() for m in _SENTENCE_END.finditer(head)]
        cut = ends[-1] if ends else len(head)
        found.append(text[:cut])
        text = text[cut:]
    return [piece for piece in [*found, text] if piece.strip()]
