"""Updates that are on disk, handled in order for each chat.

    open → attempt → done, or after TRIES failures quarantined

Stop, an edit and danger end what runs before them in their chat; stop and
danger also overtake what waits. A failing store is waited out, a failing
handler tried again, an update that ends the process each time put aside.
Knows raw updates; knows nothing of replies or of where updates come from.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TypeVar

from bot import raw
from bot.keeping import STORE_DOWN as STORE_DOWN
from bot.keeping import Keeper
from bot.line import Line
from bot.observing import TurnObserver
from bot.overdue import Overdue
from bot.patience import Backoff
from bot.store.store import Store

# In one life of the process, and over its deaths (which may be nobody's fault).
TRIES, DEATHS = 3, 12
# What was under way at so many deaths is handled one by one: the next death is not shared out.
SUSPECT = 2
AGAIN_S, GRACE_S, STORE_S = 0.2, 5.0, 10.0

Handle = Callable[[raw.Raw], Awaitable[None]]
Overtakes = Callable[[raw.Raw, bool], bool]
StoreFailed = Callable[[list[raw.Raw], Exception], Awaitable[None]]
T = TypeVar("T")
log = logging.getLogger(__name__)


class Inbox:
    """`overtakes` is told of each update as it comes and may stop what runs before it.

    It also hears whether the update is `alone`: nothing of its chat is under way, so that there
    is nothing to overtake. `ahead` is given those that may not be alone.
    """

    def __init__(
        self,
        store: Store,
        handle: Handle,
        overtakes: Overtakes,
        given_up: Handle,
        store_failed: StoreFailed,
        observer: TurnObserver,
        overdue: Overdue,
        cleanse: Callable[[raw.Raw], raw.Raw] = lambda update: update,
        received: Callable[[], None] | None = None,
        ahead: Callable[[list[raw.Raw]], Awaitable[None]] | None = None,
        again_s: float = AGAIN_S,
    ) -> None:
        # With `received` another hands updates in by `dispatch`, when this process may have them.
        self._received, self._ahead = received, ahead
        self._keeper = Keeper(store, cleanse, overdue)
        self._store, self._handle, self._overtakes = store, handle, overtakes
        self._given_up, self._store_failed, self._observer = given_up, store_failed, observer
        self._lines: dict[int, Line] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._under_way: set[int] = set()
        self._again_s, self._overdue = again_s, overdue
        self._stopping = self._resumed = False
        self._resuming, self._suspects = asyncio.Lock(), asyncio.Lock()

    async def resume(self) -> None:
        """Take up what an earlier run received and did not finish, once the store can be used."""
        try:
            await self._take_up()
        except STORE_DOWN as error:
            await self._store_failed([], error)

    async def take(self, updates: list[raw.Raw]) -> None:
        """Put updates on disk, then in line; raises STORE_DOWN."""
        await self._take_up()
        if self._ahead is not None:
            # Before the disk: between disk and line nothing may wait, or be cancelled.
            meet = self._meeting(updates)
            await self._ahead([update for update in updates if raw.chat_of(update) in meet])
        for update in await self._keeper.keep(updates):
            self._observer.received()
            if self._received is None:
                self.dispatch(update)
            else:
                self._overdue.leave(int(update["update_id"]))
        if self._received is not None:
            self._received()

    def dispatch(self, update: raw.Raw) -> None:
        """Queue an update in its chat's line."""
        chat = raw.chat_of(update)
        self._overdue.begin(update)
        line = self._lines.setdefault(chat, Line())
        (line.urgent if self._is_urgent(update) else line.others).append(update)
        if chat not in self._workers and not self._stopping:
            self._workers[chat] = asyncio.create_task(self._work(chat), name="chat")

    def workers(self) -> list[asyncio.Task[None]]:
        """The chats that have something to do."""
        return list(self._workers.values())

    def hurries(self, chat: int, person: int) -> bool:
        """Whether danger, or a wish to stop, of this person waits behind what is handled now."""
        line = self._lines.get(chat)
        return line is not None and any(raw.person_of(each) == person for each in line.urgent)

    async def quiet(self, most_s: float) -> None:
        """Wait until no chat has anything to do, at most `most_s`."""
        if tasks := self.workers():
            await asyncio.wait(tasks, timeout=most_s)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Let deliveries end, cancel the rest; what is cut off is taken up at the next start."""
        self._stopping = True
        tasks = self.workers()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for number in self._under_way:
            await self._store.park_update(number)

    async def _take_up(self) -> None:
        async with self._resuming:
            if self._received is None and not self._resumed:
                waiting = await self._store.open_updates()
                meet = self._meeting(waiting)
                # Who left many behind keeps nobody else waiting while they are looked through.
                for update in sorted(waiting, key=lambda each: raw.chat_of(each) in meet):
                    if raw.chat_of(update) in meet and self._ahead is not None:
                        await self._ahead([update])
                    self.dispatch(update)
                self._resumed = True

    def _meeting(self, updates: list[raw.Raw]) -> set[int]:
        """Chats in which one of these would meet another."""
        chats = Counter(map(raw.chat_of, updates))
        return {chat for chat, count in chats.items() if count > 1 or chat in self._workers}

    def _is_urgent(self, update: raw.Raw) -> bool:
        try:
            return self._overtakes(update, raw.chat_of(update) not in self._workers)
        except Exception as error:
            log.error("An update could not be looked at: %s", type(error).__name__)
            self._observer.happened("handler_error")
            return False

    async def _work(self, chat: int) -> None:
        line = self._lines[chat]
        while not self._stopping and (update := line.take()) is not None:
            try:
                await self._one(update)
            except Exception as error:
                # It stays open for the next start; the chat goes on.
                log.error("An update could not be put aside: %s", type(error).__name__)
                self._under_way.discard(int(update["update_id"]))
                self._overdue.leave(int(update["update_id"]))
        del self._workers[chat]
        if not self._stopping:
            del self._lines[chat]

    async def _one(self, update: raw.Raw) -> None:
        number = int(update["update_id"])
        attempts = await self._surely(
            update, lambda: self._store.begin_unsuspected(number, SUSPECT)
        )
        if attempts is not None:
            await self._attempt(update, attempts)
            return
        # Danger does not wait for what may have nothing to do with it.
        async with nullcontext() if await self._in_danger(update) else self._suspects:
            attempts = await self._surely(update, lambda: self._store.begin_update(number))
            await self._attempt(update, attempts)

    async def _attempt(self, update: raw.Raw, attempts: int) -> None:
        number = int(update["update_id"])
        self._under_way.add(number)
        if misshapen := self._keeper.misshapen.pop(number, None):
            await self._quarantine(update, misshapen)
        elif attempts > DEATHS:
            await self._quarantine(update, "ProcessEnded")
        elif error := await self._handled(update):
            await self._quarantine(update, type(error).__name__)
        else:
            await self._surely(update, lambda: self._store.finish_update(number))
        self._under_way.discard(number)
        self._overdue.end(number)

    async def _in_danger(self, update: raw.Raw) -> bool:
        if self._ahead is not None:
            await self._ahead([update])
        return self._is_urgent(update)

    async def _handled(self, update: raw.Raw) -> Exception | None:
        """None when the update was handled; its last error when it never will be."""
        failures = 0
        while True:
            try:
                await self._surely(update, lambda: self._handle(update))
            except Exception as error:
                # The type alone: an exception's text may hold a person's words.
                log.error("An update could not be handled: %s", type(error).__name__)
                self._observer.happened("handler_error")
                failures += 1
                if failures >= TRIES:
                    return error
                await asyncio.sleep(self._again_s * failures)
            else:
                return None

    async def _quarantine(self, update: raw.Raw, error: str) -> None:
        number = int(update["update_id"])
        await self._surely(update, lambda: self._store.quarantine_update(number, error))
        self._observer.happened("quarantined")
        try:
            await self._given_up(update)
        except Exception as failed:
            log.error("Nobody could be told of it: %s", type(failed).__name__)

    async def _surely(self, update: raw.Raw, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, once the store can be used."""
        backoff = Backoff(STORE_S)
        while True:
            try:
                return await call()
            except STORE_DOWN as error:
                await self._store_failed([update], error)
                await backoff.wait()
