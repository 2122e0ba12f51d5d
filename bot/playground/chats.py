"""Chats and what stands in them, as plain records. Knows no method, no HTTP, no bot."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Message = dict[str, Any]
BOT: dict[str, Any] = {
    "id": 1, "is_bot": True, "first_name": "Lanner", "username": "lanner_bot",
}  # fmt: skip
DRAFT_S, ACTION_S, THINKING = 30, 5, "Thinking…"
MOST_MESSAGES = 2000


def person_id(name: str) -> int:
    """The same Telegram id for the same name, at every start."""
    return 1_000_000 + zlib.crc32(name.encode("utf-8", "replace")) % 1_000_000_000


def group_id(title: str) -> int:
    """A supergroup's id, the same for the same title at every start."""
    return -1_000_000_000_000 - person_id(title)


def user(name: str) -> dict[str, Any]:
    """Telegram's User object of a person."""
    return {"id": person_id(name), "is_bot": False, "first_name": name, "language_code": "en"}


class File(NamedTuple):
    """What getFile can be asked for."""

    name: str
    data: bytes


@dataclass
class Draft:
    """The live text of a message that the bot is still writing."""

    id: int
    text: str
    entities: list[dict[str, Any]]
    until: float
    can_stop: bool = False
    keep: bool = False


class Note(NamedTuple):
    """The bot's answer to a press: shown to that person for a moment, or until closed."""

    version: int
    person: int
    id: str
    text: str
    alert: bool


@dataclass
class Chat:
    """One conversation: a person's with the bot, or a group's.

    `changed` holds each message's version, so that a page asks only for what is new.
    """

    id: int
    name: str
    members: list[str] = field(default_factory=list)
    messages: dict[int, Message] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    gone: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MOST_MESSAGES))
    notes: deque[Note] = field(default_factory=lambda: deque(maxlen=20))
    version: int = 0
    pinned: int | None = None
    blocked: bool = False
    live: Draft | None = None
    acting: tuple[str, float] | None = None

    @property
    def group(self) -> bool:
        """Whether several people are in it."""
        return self.id < 0

    @property
    def draft(self) -> str | None:
        """The text that is being written, None when nothing is."""
        return (self.live.text or THINKING) if self.live else None

    def telegram(self) -> dict[str, Any]:
        """Telegram's Chat object."""
        if self.group:
            return {"id": self.id, "type": "supergroup", "title": self.name}
        return {"id": self.id, "type": "private", "first_name": self.name}

    def expire(self, now: float) -> None:
        """A draft lives 30 s, an action 5 s; nobody needs to be told."""
        if self.live and self.live.until <= now:
            self.live = None
        if self.acting and self.acting[1] <= now:
            self.acting = None

    def forget(self, message_id: int, version: int) -> None:
        """A message is gone, for everyone."""
        del self.messages[message_id]
        self.changed.pop(message_id, None)
        self.gone.append((version, message_id))
