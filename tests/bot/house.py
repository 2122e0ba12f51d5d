"""A running Lanner over the local Bot API server, and the people in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bot.app import Lanner, OpenStore
from bot.playground.chats import Chat
from bot.playground.faults import Faults
from bot.playground.server import Playground
from bot.playground.state import World, person_id
from bot.safety.gate import SafetyGate
from bot.settings import Settings
from bot.signing import EXPIRY, SIGNATURE
from bot.store.store import Store
from tests.bot.fakes import ScriptedModel

TOKEN = "1:playground"
ADMIN = person_id("admin")


class Now:
    """The machine's clock, until a test sets `now`."""

    def __init__(self) -> None:
        self.now: datetime | None = None

    def __call__(self) -> datetime:
        return self.now or datetime.now(UTC)


@cache
def whole_gate() -> SafetyGate:
    """The gate as the bot opens it, loaded once for all tests."""
    return SafetyGate.open()


class House:
    """The Bot API server stays when Lanner is closed and opened again, as Telegram does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, ScriptedModel()
        self.telegram = Playground(TOKEN, 0, dict)
        self.clock, self.address = Now(), ""
        self.open_store: OpenStore = Store.open
        self.gate = whole_gate()
        self._run: asyncio.Task[None] | None = None

    async def open(self, **options: Any) -> None:
        if self.telegram.port == 0:
            await self.telegram.start()
        given = {"lanner_data_dir": self.folder, "lanner_admins": [ADMIN], **options}
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            telegram_bot_token=SecretStr(TOKEN),
            lanner_api_url=self.telegram.url,
            lanner_dashboard_port=0,
            **given,
        )
        self.lanner = Lanner(settings, self.model, self.clock, self.open_store, self.gate)
        await self.lanner.start()
        self._run = asyncio.create_task(self.lanner.run())

    async def close(self) -> None:
        """As a signal ends it."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)
            await self.lanner.stop()
            self._run = None

    async def crash(self) -> None:
        """As kill -9 ends it: nothing is finished, parked or said. The lock goes with it."""
        tasks = [self.run, *self.lanner.inbox.workers()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._run = None
        for service in self.lanner.background:
            await service.stop()
        await self.lanner.dashboard.stop()
        await self.lanner.application.shutdown()
        await self.lanner.store.close()
        if self.lanner.lock is not None:
            self.lanner.lock.release()

    async def leave(self) -> None:
        await self.close()
        await self.telegram.stop()

    @property
    def run(self) -> asyncio.Task[None]:
        assert self._run is not None
        return self._run

    @property
    def world(self) -> World:
        return self.telegram.world

    @property
    def faults(self) -> Faults:
        return self.telegram.faults

    def chat(self, name: str = "you", group: str | None = None) -> Chat:
        return self.world.chat(name, group)

    def bot_says(self, name: str = "you", group: str | None = None) -> list[str]:
        """The bot's messages, without placeholders that wait for their text."""
        messages = self.chat(name, group).messages.values()
        texts = [m.get("text", "a file") for m in messages if m["from"]["is_bot"]]
        return [text for text in texts if text != "…"]

    async def until(self, met: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not met():
                if self._run is not None and self._run.done() and self._run.exception():
                    self._run.result()
                await asyncio.sleep(0.01)

    async def say(self, text: str, name: str = "you", group: str | None = None) -> str:
        """Send and wait for the bot's next message."""
        before = len(self.bot_says(name, group))
        self.world.say(name, text, group)
        return await self.next_after(before, name, group)

    def signed_data(self, data: str, number: int, name: str = "you") -> str:
        """What the button with this data under this message carries."""
        rows = self.chat(name).messages[number]["reply_markup"]["inline_keyboard"]
        return next(str(b["callback_data"]) for row in rows for b in row if signed(b, data))

    async def press(self, data: str, name: str = "you") -> None:
        """Press the newest button with this data; returns when its answer has come."""
        chat = self.chat(name)
        before = dict(self.shown(name))
        for number in sorted(chat.messages, reverse=True):
            rows = chat.messages[number].get("reply_markup", {}).get("inline_keyboard", [])
            found = [b["callback_data"] for row in rows for b in row if signed(b, data)]
            if found:
                self.world.press(name, number, found[0])
                await self.until(lambda: self.shown(name) != before)
                return
        raise AssertionError(f"there is no button {data}")

    def shown(self, name: str = "you") -> dict[int, str]:
        """What stands in the bot's messages, with their buttons."""
        messages = self.chat(name).messages
        return {
            number: f"{m.get('text')} {m.get('reply_markup')}"
            for number, m in messages.items()
            if m["from"]["is_bot"]
        }

    async def next_after(self, before: int, name: str = "you", group: str | None = None) -> str:
        """The bot's newest message, when it has said more than `before`."""
        await self.until(lambda: len(self.bot_says(name, group)) > before)
        return self.bot_says(name, group)[-1]

    async def heard(
        self, text: str, before: int = 0, name: str = "you", group: str | None = None
    ) -> None:
        """Until the bot has said this more often than `before`."""
        await self.until(lambda: self.bot_says(name, group).count(text) > before)

    async def agree(self, name: str = "you") -> None:
        await self.say("/start", name)
        await self.press("consent:yes", name)
        await self.until(lambda: len(self.bot_says(name)) > 1)

    async def anew(self) -> None:
        """A new conversation in which no danger is held: /new alone would keep it."""
        await self.lanner.store.set_risk(person_id("you"), person_id("you"), 0)
        await self.say("/new")

    async def settled(self) -> None:
        """Until nothing is on its way to anybody."""
        await self.until(lambda: not self.lanner.inbox.workers())


def signed(button: dict[str, Any], data: str) -> bool:
    """Whether the button carries this data, with its expiry and signature behind it."""
    return str(button.get("callback_data", ""))[: -EXPIRY - SIGNATURE] == data
