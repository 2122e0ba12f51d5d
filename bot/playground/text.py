"""Text as Telegram takes it: cleaned, counted in UTF-16 code units, marked by entities.

Knows nothing of chats or methods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bot.playground.errors import bad

LIMIT, CAPTION_LIMIT, MOST_ENTITIES = 4096, 1024, 100
# Line separators, embeddings and overrides, and combining marks that break clients:
# Telegram takes them out of every text.
DROPPED = frozenset("\r\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u0333\u033f\u030a")
BLANK = " \n\u200b\u200c\u200d\u2060\ufeff\u3164\u00a0"
KINDS = frozenset({
    "mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "bold",
    "italic", "underline", "strikethrough", "spoiler", "blockquote", "expandable_blockquote",
    "code", "pre", "text_link", "text_mention", "custom_emoji", "date_time",
})  # fmt: skip
MARKS = re.compile(
    r"(?P<bot_command>(?<!\S)/[A-Za-z0-9_]{1,64}(?:@\w{3,32})?)"
    r"|(?P<mention>(?<!\w)@\w{3,32})"
    r"|(?P<url>https?://[^\s<>\"]+)"
)
Entity = dict[str, Any]


def units(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts offsets."""
    return sum(2 if ord(letter) > 0xFFFF else 1 for letter in text)


def whole(text: str) -> str:
    """Lone surrogates, which no UTF-8 can carry, become the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """The text that stays, trimmed at both ends, with its entities moved along.

    Raises ApiError for an entity that does not fit the text.
    """
    check(text, entities)
    kept, moved = "", [0]
    for letter in text:
        stays = "" if letter in DROPPED else " " if letter < " " and letter != "\n" else letter
        step = moved[-1]
        # Where each UTF-16 unit of the given text stands in the cleaned one.
        moved += [step + n for n in range(1, units(stays) + 1)] or [step] * units(letter)
        kept += stays
    start = units(kept[: len(kept) - len(kept.lstrip())])
    stripped = kept.strip()
    end = start + units(stripped)
    fitted = [_moved(e, moved, start, end) for e in entities]
    return stripped, [e for e in fitted if e["length"] > 0]


def _moved(entity: Entity, moved: list[int], start: int, end: int) -> Entity:
    first = max(moved[entity["offset"]], start)
    last = min(moved[entity["offset"] + entity["length"]], end)
    return entity | {"offset": first - start, "length": last - first}


def check(text: str, entities: list[Entity]) -> None:
    """Kinds, bounds, whole characters and nesting of entities."""
    if len(entities) > MOST_ENTITIES:
        # Telegram drops what is beyond the hundredth; here it is an error, so that tests see it.
        raise bad("too many entities")
    edges, total, open_ends = _edges(text), units(text), [1 << 30]
    for entity in sorted(entities, key=lambda e: (_number(e, "offset"), -_number(e, "length"))):
        if entity.get("type") not in KINDS:
            raise bad("can't parse MessageEntity: Unsupported type specified")
        offset, length = _number(entity, "offset"), _number(entity, "length")
        end = offset + length
        if offset < 0 or length <= 0:
            raise bad("entity offset and length must be positive")
        if offset >= total:
            raise bad(f"entity begins after the end of the text at UTF-16 offset {offset}")
        while offset >= open_ends[-1]:
            open_ends.pop()
        if end > min(total, open_ends[-1]):
            raise bad(f"entity beginning at UTF-16 offset {offset} ends after the end of the text "
                      f"at UTF-16 offset {end}")  # fmt: skip
        if offset not in edges or end not in edges:
            raise bad(f"entity beginning at UTF-16 offset {offset} is in a middle of a UTF-16 "
                      "symbol")  # fmt: skip
        open_ends.append(end)


def _number(entity: Any, key: str) -> int:
    value = entity.get(key) if isinstance(entity, dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad(f"can't parse MessageEntity: Can't find field \"{key}\"")
    return value


def _edges(text: str) -> set[int]:
    """Every offset at which a character begins or ends."""
    found, place = {0}, 0
    for letter in text:
        place += units(letter)
        found.add(place)
    return found


def found(text: str) -> list[Entity]:
    """The commands, mentions and addresses that a client marks by itself."""
    return [
        {"type": match.lastgroup, "offset": units(text[: match.start()]),
         "length": units(match.group())}
        for match in MARKS.finditer(text)
    ][:MOST_ENTITIES]  # fmt: skip


def portions(text: str, limit: int = LIMIT) -> Iterator[str]:
    """A text too long for one message in several, as Telegram's clients send it."""
    start = taken = 0
    for place, letter in enumerate(text):
        taken += units(letter)
        if taken > limit:
            yield text[start:place]
            start, taken = place, units(letter)
    yield text[start:]
