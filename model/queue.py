"""The only bridge between asyncio and the thread that owns the device.

Bounded, fair, cancellable at the next token, with deadlines and places in the
queue. Knows nothing of Telegram or people: owners are opaque keys. The thread
is the only one that touches the engine; everything else is under one lock.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from model import adapters
from model.engine import Engine
from model.engine import Sequence as Running
from model.types import (
    AdapterInfo,
    Cancelled,
    Done,
    Event,
    Failed,
    ModelError,
    ModelStatus,
    ModelUnavailable,
    Queued,
    QueueFull,
    Request,
    Text,
)
from model.waiting import WaitingRoom

LATE = "This took too long, so I stopped. Please send /retry to try again."
BROKEN = "Something went wrong while I was writing. Please send /retry to try again."
FULL = "Too many people are waiting for a reply right now. Please try again in a minute."


@dataclass(eq=False, slots=True)
class _Ticket:
    """A request on its way; `emit` may be called from the worker's thread."""

    request: Request
    emit: Callable[[Event], None]
    born: float
    cancelled: bool = False
    running: Running | None = None
    place: int = field(default=0)


class WorkerQueue:
    """Implements model.types.Model over an engine that `build` makes in the thread."""

    def __init__(
        self,
        build: Callable[[], Engine],
        adapters_dir: Path,
        *,
        adapter: str | None = None,
        capacity: int = 64,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build, self._folder, self._first_adapter = build, adapters_dir, adapter
        self._clock, self._rng = clock, rng or random.SystemRandom()
        self._wake = threading.Condition()
        self._waiting: WaitingRoom[_Ticket] = WaitingRoom(capacity, lambda t: t.request.owner)
        self._tickets: dict[str, _Ticket] = {}
        self._jobs: deque[tuple[AdapterInfo | None, Future[None]]] = deque()
        self._thread: threading.Thread | None = None
        self._engine: Engine | None = None
        self._state = "stopped"
        self._stopping = False
        self._error: str | None = None
        self._rate, self._seconds = 0.0, 5.0

    async def start(self) -> None:
        """Load in the worker's thread; returns when ready or raises ModelError."""
        ready: Future[None] = Future()
        self._state, self._stopping = "loading", False
        self._thread = threading.Thread(target=self._work, args=(ready,), name="gpu", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(ready)

    async def stop(self) -> None:
        """Cancel all and end the thread."""
        with self._wake:
            self._stopping = True
            for ticket in self._tickets.values():
                ticket.cancelled = True
            self._wake.notify_all()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 30)
        self._state = "stopped"

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        """See model.types.Model.submit."""
        loop, events = asyncio.get_running_loop(), asyncio.Queue[Event]()

        def emit(event: Event) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(events.put_nowait, event)

        self._admit(_Ticket(request, emit, self._clock()))
        try:
            while True:
                event = await events.get()
                yield event
                if isinstance(event, Done | Cancelled | Failed):
                    return
        finally:
            self.cancel(request.id)

    def cancel(self, request_id: str) -> bool:
        """See model.types.Model.cancel."""
        with self._wake:
            ticket = self._tickets.get(request_id)
            if ticket is None or ticket.cancelled:
                return False
            ticket.cancelled = True
            self._wake.notify_all()
            return True

    async def reload(self, adapter: str | None) -> ModelStatus:
        """See model.types.Model.reload."""
        info = None
        if adapter is not None:
            info = await asyncio.to_thread(adapters.named, self._folder, adapter)
        done: Future[None] = Future()
        with self._wake:
            if self._state not in ("ready", "reloading"):
                raise ModelUnavailable("No model is loaded yet; try again in a moment.")
            self._jobs.append((info, done))
            self._wake.notify_all()
        await asyncio.wrap_future(done)
        return self.status()

    def adapters(self) -> Sequence[AdapterInfo]:
        """See model.types.Model.adapters."""
        return adapters.discover(self._folder)

    def status(self) -> ModelStatus:
        """See model.types.Model.status."""
        decoder = self._engine.decoder if self._engine else None
        adapter = decoder.adapter if decoder else None
        return ModelStatus(
            state=self._state,  # type: ignore[arg-type]
            model=decoder.name if decoder else "",
            parameters=decoder.parameters if decoder else 0,
            device=str(decoder.device) if decoder else "",
            path="transformers, batched",
            demo=decoder.demo if decoder else False,
            adapter=adapter.name if adapter else None,
            adapter_sha256=adapter.sha256 if adapter else None,
            slots=self._engine.slots if self._engine else 0,
            running=len(self._engine.sequences) if self._engine else 0,
            waiting=len(self._waiting),
            capacity=self._waiting.capacity,
            context_tokens=decoder.context if decoder else 0,
            tokens_per_s=self._rate,
            memory_bytes=decoder.memory_bytes() if decoder else 0,
            quantised_modules=getattr(decoder, "quantised_modules", 0),
            last_error=self._error,
        )

    def _admit(self, ticket: _Ticket) -> None:
        with self._wake:
            if self._state in ("stopped", "failed") or self._stopping:
                raise ModelUnavailable(self._error or "The model is not running.")
            if not self._waiting.add(ticket):
                raise QueueFull(FULL)
            self._tickets[ticket.request.id] = ticket
            self._tell_places()
            self._wake.notify_all()

    def _tell_places(self) -> None:
        slots = self._engine.slots if self._engine else 1
        for place, ticket in enumerate(self._waiting.in_order(), start=1):
            if ticket.place != place:
                ticket.place = place
                ticket.emit(Queued(place, round(self._seconds * -(-place // slots), 1)))

    # From here on: the worker's thread.

    def _work(self, ready: Future[None]) -> None:
        try:
            self._engine = self._build()
            if self._first_adapter is not None:
                info = adapters.named(self._folder, self._first_adapter)
                self._engine.decoder.load_adapter(info)
        except Exception as error:
            self._fail(error)
            ready.set_exception(
                error if isinstance(error, ModelError) else ModelUnavailable(str(self._error))
            )
            return
        self._state = "ready"
        ready.set_result(None)
        while not self._stopping:
            try:
                self._round(self._engine)
            except Exception as error:
                self._recover(error)
        self._recover(ModelUnavailable("Lanner is stopping."))

    def _round(self, engine: Engine) -> None:
        with self._wake:
            if not (self._jobs or self._tickets or self._stopping):
                self._wake.wait()
        self._reload_next(engine)
        self._drop_cancelled(engine)
        self._join_waiting(engine)
        began, wrote = self._clock(), engine.step()
        if wrote:
            now = len(wrote) / max(self._clock() - began, 1e-6)
            self._rate = now if not self._rate else 0.9 * self._rate + 0.1 * now
        self._publish(engine)

    def _reload_next(self, engine: Engine) -> None:
        with self._wake:
            if not self._jobs:
                return
            info, done = self._jobs.popleft()
        self._state = "reloading"
        try:
            engine.decoder.load_adapter(info)
            done.set_result(None)
        except Exception as error:
            done.set_exception(error)
        finally:
            self._state = "ready"

    def _drop_cancelled(self, engine: Engine) -> None:
        now = self._clock()
        with self._wake:
            tickets = list(self._tickets.values())
        for ticket in tickets:
            late = now - ticket.born > ticket.request.deadline_s
            if not (ticket.cancelled or late):
                continue
            engine.leave(ticket.request.id)
            text = ticket.running.stream.text if ticket.running else ""
            self._close(ticket, Cancelled(text) if ticket.cancelled else Failed(LATE))

    def _join_waiting(self, engine: Engine) -> None:
        while engine.has_room:
            with self._wake:
                busy = {s.request.owner for s in engine.sequences.values()}
                ticket = self._waiting.take(busy)
                if ticket is None:
                    return
                self._tell_places()
            try:
                ticket.running = engine.join(ticket.request, self._rng.getrandbits(48))
            except Exception as error:
                self._error = type(error).__name__
                engine.leave(ticket.request.id)
                self._close(ticket, Failed(BROKEN))
            self._publish(engine)

    def _publish(self, engine: Engine) -> None:
        for running in list(engine.sequences.values()):
            ticket = self._tickets.get(running.request.id)
            if ticket is None:
                continue
            if running.fresh:
                ticket.emit(Text(running.fresh))
                running.fresh = ""
            if running.ended:
                engine.leave(running.request.id)
                self._close(ticket, self._done(ticket, running, engine))

    def _done(self, ticket: _Ticket, running: Running, engine: Engine) -> Done:
        now = self._clock()
        self._seconds = 0.8 * self._seconds + 0.2 * (now - running.started)
        return Done(
            text=running.stream.text,
            reason=running.ended or "stop",
            model=engine.decoder.name,
            adapter=running.adapter,
            prompt_tokens=running.prompt_tokens,
            completion_tokens=running.written,
            turns_left_out=running.turns_left_out,
            queued_s=running.started - ticket.born,
            first_token_s=(running.first_token or now) - ticket.born,
            total_s=now - ticket.born,
        )

    def _close(self, ticket: _Ticket, event: Event) -> None:
        with self._wake:
            self._waiting.remove(ticket)
            self._tickets.pop(ticket.request.id, None)
            self._tell_places()
        ticket.emit(event)

    def _recover(self, error: Exception) -> None:
        """A failed step ends the replies in it honestly and leaves the rest waiting."""
        self._error = type(error).__name__
        assert self._engine is not None  # noqa: S101
        for running in list(self._engine.sequences.values()):
            self._engine.leave(running.request.id)
        with self._wake:
            hit = [t for t in self._tickets.values() if t.running or self._stopping]
        for ticket in hit:
            text = ticket.running.stream.text if ticket.running else ""
            self._close(ticket, Cancelled(text) if ticket.cancelled else Failed(BROKEN))

    def _fail(self, error: Exception) -> None:
        self._state = "failed"
        self._error = str(error) if isinstance(error, ModelError) else type(error).__name__
        with self._wake:
            tickets = list(self._tickets.values())
        for ticket in tickets:
            self._close(ticket, Failed(BROKEN))
