"""The chats on disk, so that the page shows them after a restart as Telegram would.

One JSON file, replaced as a whole, and the files beside it; readable by their owner
alone. Knows nothing of HTTP, and of the bot only that its own store is elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from bot.playground.chats import Chat, File
from bot.playground.ground import Ground

EVERY_S = 0.3
log = logging.getLogger(__name__)


class Keeping:
    """Loads at once, then saves when told to and shortly after each change, until `stop`."""

    def __init__(self, world: Ground, folder: Path) -> None:
        self._world, self._folder = world, folder
        self._saved_version = -1
        self._saved_files: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Take up what is there. A file that cannot be read is put aside, never overwritten."""
        path = self._folder / "chats.json"
        try:
            _restore(self._world, json.loads(path.read_text("utf-8")), self._folder)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("The page's earlier chats cannot be read (%s); it begins anew.",
                        type(error).__name__)  # fmt: skip
            with suppress(OSError):
                path.replace(path.with_suffix(".broken"))

    def start(self) -> None:
        """Save in the background."""
        self._task = asyncio.create_task(self._run(), name="the page's chats on disk")

    async def stop(self) -> None:
        """Save once more."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.save()

    async def _run(self) -> None:
        while True:
            if self._world.version == self._saved_version:
                await self._world.changed.wait()
            await asyncio.sleep(EVERY_S)
            self.save()

    def save(self) -> None:
        """Save now: what a caller is told was done must outlive a death right after it."""
        if self._world.version == self._saved_version:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in self._world.files.keys() - self._saved_files:
                _write(self._folder / f"{name}.file", self._world.files[name].data)
            _write(self._folder / "chats.json", json.dumps(_snapshot(self._world)).encode())
            for name in self._saved_files - self._world.files.keys():
                (self._folder / f"{name}.file").unlink(missing_ok=True)
        except OSError as error:
            log.warning("The page's chats cannot be saved (%s).", error.strerror)
            return
        self._saved_files, self._saved_version = set(self._world.files), self._world.version


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, also when the machine stops in between."""
    part = path.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


def _snapshot(world: Ground) -> dict[str, Any]:
    chats = [
        {"id": c.id, "name": c.name, "members": c.members, "pinned": c.pinned,
         "blocked": c.blocked, "messages": list(c.messages.values())}
        for c in world.chats.values()
    ]  # fmt: skip
    return {
        "chats": chats,
        "files": {number: file.name for number, file in world.files.items()},
        "commands": world.commands,
        "profile": world.profile,
        # What the bot had not confirmed comes again.
        "updates": list(world.updates.waiting.values()),
    }


def _restore(world: Ground, kept: dict[str, Any], folder: Path) -> None:
    for number, name in kept["files"].items():
        with suppress(OSError):
            world.files[number] = File(name, (folder / f"{number}.file").read_bytes())
    chats = [
        Chat(each["id"], each["name"], each["members"],
             {m["message_id"]: m for m in each["messages"]},
             pinned=each["pinned"], blocked=each["blocked"])
        for each in kept["chats"]
    ]  # fmt: skip
    world.chats = {chat.id: chat for chat in chats}
    world.commands, world.profile = kept["commands"], kept["profile"]
    world.updates.waiting = {u["update_id"]: u for u in kept["updates"]}
    newest = max((n for chat in chats for n in chat.messages), default=0)
    world.begin(max(newest, max(world.updates.waiting, default=0)) + 1)
    world.touch()
