"""The composition root: takes settings and replaceable parts, returns the running whole.

The only place that chooses the decoder, the store and the transport.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from telegram import Bot, BotCommandScopeChat, Update
from telegram.error import TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    MessageHandler,
    filters,
)

from bot import texts
from bot.chat import ChatService
from bot.clock import system_clock
from bot.handlers import admin, people, talk
from bot.handlers.context import Services
from bot.inbox import Inbox, chat_of
from bot.playground.server import Playground
from bot.playground.state import person_id
from bot.safety.gate import RuleGate
from bot.safety.guard import SentenceGuard
from bot.safety.types import Level
from bot.settings import Settings
from bot.store.store import Store
from model.types import Model, ModelError, Sampling

DEMO_TOKEN = "1:playground"  # noqa: S105 - opens nothing but the page on this machine
log = logging.getLogger(__name__)


class Lanner:
    """`start()`, then `run()` until cancelled, then `stop()`."""

    def __init__(self, settings: Settings, model: Model) -> None:
        self.settings, self.model = settings, model
        self.gate = RuleGate()
        self.playground: Playground | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    async def start(self) -> None:
        """Open everything; the model loads while the bot already answers."""
        settings = self.settings
        self.store = await Store.open(
            settings.database_url, settings.lanner_data_dir, system_clock, settings.master_key
        )
        self.application = await self._application()
        self.chat = ChatService(
            self.store, self.gate, SentenceGuard, self.model, self._sampling(),
            settings.lanner_deadline_s,
        )  # fmt: skip
        self.services = Services(
            self.store, self.chat, self.model, self._admins(),
            settings.lanner_retention_days, self._describe,
        )  # fmt: skip
        self.application.bot_data["services"] = self.services
        _add_handlers(self.application)
        await self.application.initialize()
        self.inbox = Inbox(self.store, self._handle, self._urgent)
        self._scheduler.add_job(self.store.retain, "interval", [settings.lanner_retention_days],
                                hours=1, next_run_time=datetime.now(UTC))  # fmt: skip
        self._scheduler.start()
        self._tasks = [asyncio.create_task(self._load()), asyncio.create_task(self._menu())]

    async def run(self) -> None:
        """Poll until cancelled."""
        await self.inbox.resume()
        await self.inbox.poll(self.application.bot)

    async def stop(self) -> None:
        """Turns first, then the device, then the rest."""
        await self.inbox.stop()
        await self.model.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._scheduler.shutdown(wait=False)
        await self.application.shutdown()
        if self.playground:
            await self.playground.stop()
        await self.store.close()

    async def _application(self) -> Application[Any, Any, Any, Any, Any, Any]:
        token = self.settings.telegram_bot_token
        builder = ApplicationBuilder().updater(None)
        if token is not None:
            return builder.token(token.get_secret_value()).build()
        port = self.settings.lanner_playground_port
        self.playground = Playground(DEMO_TOKEN, port, lambda: {"text": self._banner()})
        await self.playground.start()
        url = self.playground.url
        builder = builder.token(DEMO_TOKEN).base_url(f"{url}bot").base_file_url(f"{url}file/bot")
        return builder.build()

    def _admins(self) -> frozenset[int]:
        demo = {person_id("admin")} if self.playground else set()
        return frozenset(self.settings.lanner_admins) | demo

    def _sampling(self) -> Sampling:
        return Sampling(
            temperature=self.settings.lanner_temperature,
            max_new_tokens=self.settings.lanner_max_new_tokens,
        )

    async def _load(self) -> None:
        try:
            await self.model.start()
        except ModelError as error:
            log.error("%s", error)

    async def _menu(self) -> None:
        """Admins see their commands, others do not."""
        everyone = list(texts.COMMANDS.items())
        bot: Bot = self.application.bot
        with suppress(TelegramError):
            await bot.set_my_commands(everyone)
        for number in self.services.admins:
            # An admin who has not yet written to the bot has no chat to set it for.
            with suppress(TelegramError):
                await bot.set_my_commands(
                    [*everyone, *texts.ADMIN_COMMANDS.items()], BotCommandScopeChat(number)
                )

    async def _handle(self, raw: dict[str, Any]) -> None:
        update = Update.de_json(raw, self.application.bot)
        await self.application.process_update(update)

    def _urgent(self, raw: dict[str, Any]) -> bool:
        """Stop, an edit and danger end the running reply of their chat at once."""
        message = raw.get("message") or raw.get("edited_message") or {}
        text = str(message.get("text", ""))
        if text.split("@")[0].strip() == "/stop":
            self.services.stopped[chat_of(raw)] = self.chat.stop(chat_of(raw))
            return True
        if "edited_message" in raw:
            self.chat.stop(chat_of(raw))
            return False
        danger = bool(text) and self.gate.assess(text).level >= Level.HIGH
        if danger:
            self.chat.stop(chat_of(raw))
        return danger

    def _banner(self) -> str:
        status = self.model.status()
        if status.state == "loading":
            return "The model is loading…"
        kind = "A demo model, not the product's" if status.demo else "The model"
        return (
            f"{kind}: {status.model or 'none'}, {status.parameters / 1e6:.0f} M parameters, on "
            f"{status.device or 'no device'}. A real service runs Falcon-7B on a GPU. Stored in "
            f"{self.settings.lanner_data_dir.name}/ on this machine. Not for emergencies."
        )

    def _describe(self) -> str:
        status = self.model.status()
        last = self.inbox.last_poll
        ago = None if last is None else time.monotonic() - last
        return "\n".join(
            [
                f"Model: {status.model} ({status.state}), {status.parameters / 1e6:.0f} M, "
                f"on {status.device} by {status.path}",
                f"Adapter: {status.adapter or 'none'} {(status.adapter_sha256 or '')[:16]}",
                f"Running {status.running} of {status.slots}, waiting {status.waiting} of "
                f"{status.capacity}, {status.tokens_per_s:.1f} tokens/s in all",
                f"Memory: {status.memory_bytes / 1e9:.2f} GB",
                f"Last poll: {people.age(ago)} ago; last error: {status.last_error or 'none'}",
            ]
        )


def _add_handlers(application: Application[Any, Any, Any, Any, Any, Any]) -> None:
    commands = {
        "start": people.start, "help": people.help_, "new": people.new, "stop": people.stop,
        "retry": talk.retry, "status": people.status, "settings": people.settings,
        "privacy": people.privacy, "export": people.export, "forget_me": people.forget_me,
        "reload": admin.reload, "adapters": admin.adapters,
    }  # fmt: skip
    fresh = filters.UpdateType.MESSAGE
    for name, handler in commands.items():
        application.add_handler(CommandHandler(name, handler, filters=fresh))
    application.add_handler(CallbackQueryHandler(people.button))
    application.add_handler(MessageHandler(filters.TEXT & ~filters.COMMAND, talk.message))
    application.add_handler(MessageHandler(filters.COMMAND & fresh, talk.unknown_command))
    application.add_handler(MessageHandler(~filters.TEXT & fresh, talk.unknown))
