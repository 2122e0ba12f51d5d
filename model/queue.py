"""The only bridge between asyncio and the thread that owns the device.

Bounded, fair, cancellable at the next token, with deadlines and places in the
queue. Knows nothing of Telegram or people: owners are opaque keys.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from model import adapters
from model.engine import Engine
from model.tickets import Desk, Ticket
from model.types import (
    AdapterInfo,
    Cancelled,
    Done,
    Event,
    Failed,
    ModelStatus,
    ModelUnavailable,
    Request,
)
from model.worker import Worker

# How long `stop` waits for the step in flight.
PATIENCE_S = 30


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
        self._build, self._folder, self._adapter = build, adapters_dir, adapter
        self._clock, self._rng = clock, rng or random.SystemRandom()
        self._wake = threading.Condition()
        self._desk = Desk(capacity)
        self._worker: Worker | None = None

    async def start(self) -> None:
        """Load in the worker's thread; returns when ready or raises ModelError."""
        with self._wake:
            if self._worker is not None and self._worker.is_alive():
                return
            self._worker = Worker(self._built, self._desk, self._wake, self._clock, self._rng)
        self._worker.start()
        await asyncio.wrap_future(self._worker.ready)

    async def stop(self) -> None:
        """Cancel all and end the thread."""
        with self._wake:
            if self._worker is None:
                return
            self._worker.stopping = True
            for ticket in self._desk.all():
                ticket.cancelled = True
            self._wake.notify_all()
        await asyncio.to_thread(self._worker.join, PATIENCE_S)

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        """See model.types.Model.submit."""
        loop, events = asyncio.get_running_loop(), asyncio.Queue[Event]()

        def emit(event: Event) -> None:
            # A loop that has closed has nobody left to tell.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(events.put_nowait, event)

        ticket = Ticket(request, emit, self._clock())
        self._admit(ticket)
        try:
            while True:
                event = await events.get()
                yield event
                if isinstance(event, Done | Cancelled | Failed):
                    return
        finally:
            self._cancel(ticket)

    def cancel(self, request_id: str) -> bool:
        """See model.types.Model.cancel."""
        with self._wake:
            ticket = self._desk.find(request_id)
        return ticket is not None and self._cancel(ticket)

    async def reload(self, adapter: str | None) -> ModelStatus:
        """See model.types.Model.reload."""
        info = None
        if adapter is not None:
            info = await asyncio.to_thread(adapters.named, self._folder, adapter)
        with self._wake:
            worker = self._worker
            if worker is None or worker.stopping or worker.state not in ("ready", "reloading"):
                raise ModelUnavailable("No model is loaded yet; try again in a moment.")
            done = worker.reload(info)
        await asyncio.wrap_future(done)
        return self.status()

    def adapters(self) -> Sequence[AdapterInfo]:
        """See model.types.Model.adapters."""
        return adapters.discover(self._folder)

    def status(self) -> ModelStatus:
        """See model.types.Model.status."""
        worker, desk = self._worker, self._desk
        engine = worker.engine if worker else None
        decoder = engine.decoder if engine else None
        adapter = decoder.adapter if decoder else None
        return ModelStatus(
            state=worker.state if worker else "stopped",
            model=decoder.name if decoder else "",
            parameters=decoder.parameters if decoder else 0,
            device=str(decoder.device) if decoder else "",
            path=decoder.path if decoder else "",
            demo=decoder.demo if decoder else False,
            adapter=adapter.name if adapter else None,
            adapter_sha256=adapter.sha256 if adapter else None,
            slots=engine.slots if engine else 0,
            running=len(engine.running) if engine else 0,
            waiting=desk.waiting,
            capacity=desk.capacity,
            context_tokens=decoder.context if decoder else 0,
            tokens_per_s=worker.tokens_per_s if worker else 0.0,
            memory_bytes=decoder.memory_bytes() if decoder else 0,
            quantised_modules=decoder.quantised_modules if decoder else 0,
            last_error=worker.error if worker else None,
        )

    def _built(self) -> Engine:
        """In the worker's thread: the engine, with the adapter it is to begin with."""
        engine = self._build()
        if self._adapter is not None:
            engine.decoder.load_adapter(adapters.named(self._folder, self._adapter))
        return engine

    def _admit(self, ticket: Ticket) -> None:
        with self._wake:
            worker = self._worker
            if worker is None or worker.stopping or worker.state in ("stopped", "failed"):
                reason = worker.error if worker and worker.state == "failed" else None
                raise ModelUnavailable(reason or "The model is not running.")
            self._desk.admit(ticket)
            self._wake.notify_all()

    def _cancel(self, ticket: Ticket) -> bool:
        with self._wake:
            if ticket.cancelled or self._desk.find(ticket.request.id) is not ticket:
                return False
            ticket.cancelled = True
            self._wake.notify_all()
            return True
