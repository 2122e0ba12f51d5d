"""What the local Bot API server remembers: chats, files, menus, pending updates.

Bounded, in memory. Knows Telegram's vocabulary; knows nothing of HTTP or of the bot.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.playground.chats import (
    MOST_MESSAGES,
    Chat,
    File,
    Message,
    Note,
    group_id,
    person_id,
)
from bot.playground.errors import PersonError
from bot.playground.limits import Limits
from bot.playground.updates import Updates

MOST_CHATS, MOST_FILE_BYTES, PRESS_LIVES_S = 5000, 64 << 20, 60


@dataclass
class Press:
    """A button that was pressed and waits for the bot's answer."""

    chat: int
    person: int
    until: float


class Ground:
    """Everything that the server remembers; `state.World` adds what people do."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, File] = {}
        self.commands: dict[str, list[dict[str, str]]] = {}
        self.profile: dict[str, str] = {}
        self.presses: dict[str, Press] = {}
        self.limits = Limits(clock)
        self.changed = asyncio.Event()
        self.version = 0
        # Versions begin anew at every start; pages tell by this name whose they know.
        self.life = secrets.token_hex(4)
        # Ids keep growing over restarts, as Telegram's do.
        first = int(time.time()) % 1_000_000_000
        self.updates = Updates(first)
        self._ids = itertools.count(first)

    def begin(self, number: int) -> None:
        """Number what comes from here on, unless the numbers are there already."""
        self._ids = itertools.count(max(number, next(self._ids)))
        self.updates.begin(number)

    def chat(self, name: str, group: str | None = None) -> Chat:
        """The person's chat, or the group that the person is in; made at first sight."""
        number = group_id(group) if group else person_id(name)
        found = self.chats.get(number)
        if found is None:
            if len(self.chats) >= MOST_CHATS:
                raise PersonError("There are too many chats here: start Lanner again.")
            found = self.chats[number] = Chat(number, group or name)
        if name not in found.members:
            found.members.append(name)
        return found

    def touch(self, chat: Chat | None = None, message_id: int | None = None) -> None:
        """Something changed, in this chat or everywhere: wake whoever waits for it."""
        self.version += 1
        for each in [chat] if chat else self.chats.values():
            each.version = self.version
        if chat and message_id is not None:
            chat.changed[message_id] = self.version
        self.changed.set()
        self.changed = asyncio.Event()

    def push(self, kind: str, body: Any) -> None:
        """Queue an update for the bot."""
        self.updates.push(kind, body)

    def add(self, chat: Chat, sender: dict[str, Any], **content: Any) -> Message:
        """A new message in a chat; the oldest goes when there are too many."""
        number = next(self._ids)
        message = {
            "message_id": number,
            "date": int(self.clock()),
            "chat": chat.telegram(),
            "from": sender,
            **content,
        }
        chat.messages[number] = message
        if sender["is_bot"]:
            chat.live = chat.acting = None
        if len(chat.messages) > MOST_MESSAGES:
            chat.forget(next(iter(chat.messages)), self.version + 1)
        self.touch(chat, number)
        return message

    def remove(self, chat: Chat, message_id: int) -> None:
        """Delete a message for everyone."""
        chat.forget(message_id, self.version + 1)
        self.touch(chat)

    def store(self, name: str, data: bytes) -> str:
        """Keep a file; returns its unguessable id. The oldest go when there is too much."""
        number = secrets.token_urlsafe(18)
        self.files[number] = File(name, data)
        while len(self.files) > 1 and sum(len(f.data) for f in self.files.values()) > (
            MOST_FILE_BYTES
        ):
            del self.files[next(iter(self.files))]
        return number

    def press_made(self, chat: Chat, person: int) -> str:
        """A callback query's id, good for a minute."""
        now = self.clock()
        self.presses = {k: p for k, p in self.presses.items() if p.until > now}
        number = str(next(self._ids))
        self.presses[number] = Press(chat.id, person, now + PRESS_LIVES_S)
        return number

    def press_answered(self, number: str, text: str, alert: bool) -> bool:
        """Show the bot's answer to whoever pressed; False for an unknown or old id."""
        press = self.presses.pop(number, None)
        if press is None or press.until <= self.clock():
            return False
        chat = self.chats[press.chat]
        self.touch(chat)
        chat.notes.append(Note(self.version, press.person, number, text, alert))
        return True

    def menu(self, chat: Chat, person: int, language: str = "en") -> list[dict[str, str]]:
        """The commands that Telegram would show: the narrowest scope and language that is set."""
        kind = "all_group_chats" if chat.group else "all_private_chats"
        scopes = [f"chat_member:{chat.id}:{person}", f"chat:{chat.id}", kind, "default"]
        keys = [f"{scope}/{code}" for scope in scopes for code in (language, "")]
        return next((self.commands[key] for key in keys if key in self.commands), [])
