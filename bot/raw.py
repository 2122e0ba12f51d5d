"""Updates as Telegram sends them: what must be known before anyone handles them.

Hostile or unknown shapes give empty answers, never errors. Knows Telegram's
field names; knows nothing of what the bot does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Telegram sends no other kinds; those that a server does not know it ignores.
KINDS = ["message", "edited_message", "callback_query", "stopped_message_generation"]
Raw = dict[str, Any]
# What a database's whole numbers hold.
MOST = 2**63 - 1


def is_update(found: Any) -> bool:
    """Whether this is an update at all: what has no number cannot be kept."""
    number = found.get("update_id") if isinstance(found, Mapping) else None
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MOST


def body(update: Raw) -> Mapping[str, Any]:
    """The one part of an update that says what happened."""
    found: Any = next((update[kind] for kind in KINDS if kind in update), {})
    return found if isinstance(found, Mapping) else {}


def chat_of(update: Raw) -> int:
    """The chat that an update belongs to; 0 for none."""
    inner = body(update)
    return _id(inner.get("chat")) or _id(_inner(inner, "message").get("chat")) or sender_of(update)


def sender_of(update: Raw) -> int:
    """The person who caused the update; 0 for none."""
    return _id(body(update).get("from"))


def person_of(update: Raw) -> int:
    """Whose it is: the sender's, or the chat's where there is none."""
    return sender_of(update) or chat_of(update)


def language_of(update: Raw) -> str:
    """The language of the person's Telegram."""
    return str(_inner(body(update), "from").get("language_code") or "en")


def words_of(update: Raw) -> str:
    """What a person wrote, as a message or under a picture."""
    if "message" not in update and "edited_message" not in update:
        return ""
    text = body(update).get("text") or body(update).get("caption")
    return text if isinstance(text, str) else ""


def is_private(update: Raw) -> bool:
    """Whether the chat is between one person and the bot."""
    return chat_of(update) > 0


def wants_stop(update: Raw) -> bool:
    """/stop, the Stop button under a message, or the one that Telegram shows on a draft."""
    if "stopped_message_generation" in update:
        return True
    if "callback_query" in update:
        return body(update).get("data") == "stop"
    return "message" in update and words_of(update).split("@")[0].strip().casefold() == "/stop"


def _inner(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, Mapping) else {}


def _id(holder: Any) -> int:
    found = holder.get("id") if isinstance(holder, Mapping) else None
    if not isinstance(found, int) or isinstance(found, bool):
        return 0
    return found if abs(found) <= MOST else 0
