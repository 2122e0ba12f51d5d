"""The composition root: takes settings and replaceable parts, returns the running whole.

The only place that chooses the decoder, the store and the transport. Long-lived
tasks are started here, awaited here and ended here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from telegram import Bot

from bot import doors, raw, texts
from bot.care import Care
from bot.chat import ChatService
from bot.check_ins import check_in_by
from bot.clock import Clock, system_clock
from bot.emergency import Emergency
from bot.handlers import table
from bot.handlers.context import Services
from bot.inbox import Inbox
from bot.lock import InstanceLock
from bot.loop import settle
from bot.observe.metrics import Metrics
from bot.observe.snapshot import Sources
from bot.observing import Counts
from bot.operating import Operating
from bot.operator_status import OperatorStatus, banner
from bot.overdue import Overdue
from bot.people import PeopleService
from bot.playground.server import Playground
from bot.playground.state import person_id
from bot.polling import Polling
from bot.privacy import Privacy
from bot.questionnaires.service import Questionnaires
from bot.safety.aside import Aside
from bot.safety.gate import SafetyGate
from bot.safety.meaning import shipped_judge
from bot.schedule import Schedule
from bot.sealing.master import MasterSource
from bot.settings import Settings
from bot.sharing import Sharing
from bot.signing import Signer, forgotten_after
from bot.store.presence import Presence
from bot.store.store import Store
from bot.telegram_app import Handling, addresses, build, reach
from bot.urgent import Urgent
from bot.vestibule import opened
from model.types import Model, ModelError

# How long open turns may take to say that the device has died.
LAST_WORDS_S = 10.0
log = logging.getLogger(__name__)


OpenStore = Callable[[str, Path, Clock, MasterSource], Coroutine[Any, Any, Store]]


class DeviceDead(Exception):
    """The model's device cannot be used by this process again; the sentence says why."""


class GivenUp(DeviceDead):
    """The database counts this process as dead; it starts again, and shares again."""


class Service(Protocol):
    """Something that works beside the turns."""

    def start(self) -> None:
        """Begin, in the running loop."""

    async def stop(self) -> None:
        """End, and wait until it has ended."""


# A start does not wait for the classifier's second reader, which is loaded this much later.
SECOND_AFTER_S = 15.0
LATER = partial(shipped_judge, at_once=False)


class Lanner:
    """`start()`, then `run()` until cancelled, then `stop()`."""

    def __init__(
        self,
        settings: Settings,
        model: Model,
        clock: Clock = system_clock,
        open_store: OpenStore = Store.open,
        gate: SafetyGate | None = None,
    ) -> None:
        self.settings, self.model, self.clock = settings, model, clock
        self._open_store = open_store
        self.gate, self.metrics = gate or SafetyGate.open(load=LATER), Metrics()
        self.aside = Aside(self.gate)
        self.counts = Counts(others=[self.metrics])
        self.playground: Playground | None = None
        self.background: list[Service] = []
        self.lock: InstanceLock | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Open everything; the model loads while the bot already answers."""
        settings = self.settings
        if settings.database_file is not None:
            self.lock = InstanceLock.take(settings.database_file)
        token, server = await self._telegram()
        self.emergency = Emergency(self.gate, self._admins(), self.counts)
        self.store = await self._opened_store(Bot(token, **addresses(server)))
        self.signer = Signer(await self.store.secret("lanner buttons"), self.clock)
        self.presence = Presence(self.store.sessions)
        await self.presence.enter()
        self.application = build(token, server, self.signer)
        await reach(self.application)
        self.chat = ChatService(
            self.store, self.gate, self.model, settings.sampling, settings.lanner_deadline_s,
            self.counts, self.emergency, self.aside,
        )  # fmt: skip
        self.urgent = Urgent(self.bot, self.chat, self.emergency, self.aside, self.counts)
        self.care = Care.build(
            self.bot, self.store, self.clock, self.gate, self._admins(),
            settings.lanner_follow_up_minutes,
        )  # fmt: skip
        shared = self.store.sessions.shared
        self.sharing = Sharing(
            self.store, self.presence, lambda update: self.inbox.dispatch(update)
        )
        overdue = Overdue(self.store.waiting_s, self.urgent.overdue, self.emergency.over)
        self.inbox = Inbox(
            self.store, Handling(self.application, self._first_press), self.urgent.overtakes,
            self.urgent.given_up, self.urgent.store_failed, self.counts, overdue,
            self.signer.checked, self.sharing.news if shared else None, self.urgent.read_ahead,
        )  # fmt: skip
        self.operating = Operating.build(
            self.bot, self.store, settings, self._admins(), self.presence.lead
        )
        self.operating.hook(self.chat.hooks)
        self.chat.hooks.hurries = self.inbox.hurries
        failed = self.urgent.store_failed
        self.intake = doors.intake(settings, self.inbox, failed, self.counts)
        self.services = self._services()
        self.application.bot_data["services"] = self.services
        table.register(self.application)
        self.store.when_damaged = self.urgent.damaged
        self.care.hook(self.chat.hooks, self.store)
        send = check_in_by(self.bot, self.store)
        days = settings.lanner_retention_days
        self.background += [
            Schedule(self.store, self.clock, send, days),
            self.care.follow_ups,
            self.operating.broadcasting,
            overdue,
        ]
        sources = Sources(
            self.model.status, self.intake.age_s, self.store.quarantined_count,
            lambda: len(self.inbox.workers()),
        )  # fmt: skip
        self.dashboard = await doors.dashboard(settings, self.metrics, sources)
        for service in self.background:
            service.start()
        menus = table.set_menus(self.bot, self.services.admins)
        loading = (self._load(), menus, self._complete())
        self._tasks = [asyncio.create_task(each) for each in loading]
        settle()

    async def _complete(self) -> None:
        # What waits since the last life goes first: loading takes a core for some seconds.
        await asyncio.sleep(SECOND_AFTER_S)
        await asyncio.to_thread(self.gate.complete)
        settle()

    async def run(self) -> None:
        """Answer until cancelled; raises DeviceDead, or what ends the talk with Telegram."""
        await self.inbox.resume()
        tasks = {
            asyncio.create_task(self._take_in(), name="intake"),
            asyncio.create_task(self._device(), name="device"),
        }
        if self.store.sessions.shared:
            tasks.add(asyncio.create_task(self.sharing.run(), name="claims"))
            tasks.add(asyncio.create_task(self._alone(), name="presence"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Free the device, let deliveries end, park the rest; then everything else."""
        self.chat.park()
        await self.inbox.stop()
        for service in reversed(self.background):
            await service.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.urgent.stop()
        await self.model.stop()
        self.aside.close()
        await self.dashboard.stop()
        await self.application.shutdown()
        if self.playground:
            await self.playground.stop()
        await self.presence.leave()
        await self.store.close()
        if self.lock is not None:
            self.lock.release()

    @property
    def bot(self) -> Bot:
        """Telegram, or the demo page."""
        found: Bot = self.application.bot
        return found

    async def _telegram(self) -> tuple[str, str | None]:
        """The token, and the address of a Bot API server that is not Telegram's."""
        if found := doors.telegram(self.settings):
            return found
        where = self.settings.lanner_data_dir.name
        self.playground = await doors.playground(
            self.settings, lambda: {"text": banner(self.model, where)}
        )
        return doors.DEMO_TOKEN, self.playground.url

    async def _opened_store(self, bot: Bot) -> Store:
        settings = self.settings
        opening = self._open_store(
            settings.database_url, settings.lanner_data_dir, self.clock, settings.master_key
        )
        if settings.database_file is None or settings.lanner_webhook_url is not None:
            # Another process may poll already, or Telegram calls by itself.
            return await opening
        try:
            return await opened(opening, bot, self.emergency)
        except BaseException:
            if self.playground:
                await self.playground.stop()
            raise

    def _services(self) -> Services:
        days = self.settings.lanner_retention_days
        status = OperatorStatus(self.model, self.store, self.counts, self.intake.age_s, self.gate)
        people = PeopleService(self.store, self.clock, days, self.gate.languages)
        return Services(
            self.store, self.chat, people, Privacy(self.store, self.clock),
            Questionnaires(self.store, self.clock, people), self.care, self.model,
            self._admins(), status.words, self.urgent.stopped,
        )  # fmt: skip

    def _admins(self) -> frozenset[int]:
        demo = {person_id("admin")} if self.playground else set()
        return frozenset(self.settings.lanner_admins) | demo

    async def _take_in(self) -> None:
        """Of processes that share an inbox one polls; a webhook is everyone's."""
        if isinstance(self.intake, Polling):
            await self.sharing.lead(lambda: self.intake.run(self.bot))
        else:
            await self.intake.run(self.bot)

    async def _alone(self) -> None:
        """Ends by GivenUp when the other processes take this one's chats."""
        raise GivenUp(await self.presence.lost())

    async def _first_press(self, nonce: str, update: raw.Raw) -> bool:
        return await self.store.use_button(
            nonce, int(update["update_id"]), forgotten_after(self.clock)
        )

    async def _load(self) -> None:
        try:
            await self.model.start()
        except ModelError as error:
            log.error("%s", error)

    async def _device(self) -> None:
        """Ends by DeviceDead, once the turns that waited for the device have said so."""
        sentence = await self.model.failed()
        log.error("%s", sentence)
        self.chat.writer.device_died(texts.DEVICE_DEAD)
        await self.inbox.quiet(LAST_WORDS_S)
        raise DeviceDead(sentence)
