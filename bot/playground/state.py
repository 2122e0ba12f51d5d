"""Chats, messages and pending updates of the local Bot API server, in memory.

Knows Telegram's vocabulary; knows nothing of HTTP or of the bot.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import zlib
from dataclasses import dataclass, field
from typing import Any

BOT = {"id": 1, "is_bot": True, "first_name": "Lanner", "username": "lanner_bot"}


def person_id(name: str) -> int:
    """The same Telegram id for the same name, at every start."""
    return 1_000_000 + zlib.crc32(name.encode()) % 1_000_000_000


@dataclass
class Chat:
    """A private chat between one person and the bot."""

    name: str
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    draft: str | None = None
    action: str | None = None
    toast: str | None = None

    @property
    def id(self) -> int:
        """In private chats Telegram uses the person's id."""
        return person_id(self.name)

    def telegram(self) -> dict[str, Any]:
        """Telegram's Chat object."""
        return {"id": self.id, "type": "private", "first_name": self.name}

    def user(self) -> dict[str, Any]:
        """Telegram's User object."""
        return {"id": self.id, "is_bot": False, "first_name": self.name, "language_code": "en"}


class World:
    """Everything that the server remembers."""

    def __init__(self) -> None:
        self.chats: dict[int, Chat] = {}
        self.updates: dict[int, dict[str, Any]] = {}
        self.commands: dict[str, list[dict[str, str]]] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.callbacks: set[str] = set()
        self.changed = asyncio.Event()
        self.version = 0
        # Ids keep growing over restarts, as Telegram's do.
        first = int(time.time()) % 1_000_000_000
        self._ids, self._updates = itertools.count(first), itertools.count(first)

    def chat(self, name: str) -> Chat:
        """The person's chat, made at first sight."""
        return self.chats.setdefault(person_id(name), Chat(name))

    def touch(self) -> None:
        """Wake whoever waits for a change."""
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()

    def push(self, kind: str, body: dict[str, Any]) -> None:
        """Queue an update for the bot."""
        number = next(self._updates)
        self.updates[number] = {"update_id": number, kind: body}
        self.touch()

    def add(self, chat: Chat, sender: dict[str, Any], **content: Any) -> dict[str, Any]:
        """A new message in a chat."""
        message = {
            "message_id": next(self._ids),
            "date": int(time.time()),
            "chat": chat.telegram(),
            "from": sender,
            **content,
        }
        chat.messages[message["message_id"]] = message
        if sender["is_bot"]:
            chat.draft = chat.action = None
        self.touch()
        return message

    def say(self, name: str, text: str) -> dict[str, Any]:
        """A person sends text."""
        chat = self.chat(name)
        content: dict[str, Any] = {"text": text}
        if text.startswith("/"):
            end = len(text.split()[0])
            content["entities"] = [{"type": "bot_command", "offset": 0, "length": end}]
        message = self.add(chat, chat.user(), **content)
        self.push("message", message)
        return message

    def edit(self, name: str, message_id: int, text: str) -> None:
        """A person edits an own message."""
        message = self.chat(name).messages[message_id]
        message |= {"text": text, "edit_date": int(time.time())}
        self.push("edited_message", message)

    def press(self, name: str, message_id: int, data: str) -> None:
        """A person presses an inline button."""
        chat = self.chat(name)
        number = str(next(self._ids))
        self.callbacks.add(number)
        self.push(
            "callback_query",
            {
                "id": number,
                "from": chat.user(),
                "chat_instance": str(chat.id),
                "message": chat.messages[message_id],
                "data": data,
            },
        )
