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
from model.jobs import Job, Rebase, Switch
from model.tickets import Desk, Ticket
from model.types import (
    AdapterInfo,
    AdapterRefused,
    Cancelled,
    Done,
    Event,
    Failed,
    ModelStatus,
    ModelUnavailable,
    Request,
)
from model.watch import Watch
from model.worker import Worker

# How long `stop` waits for the step in flight, and the most that one may take.
PATIENCE_S = 30
ROUND_LIMIT_S = 60
# How long another base model waits for running replies to end.
DRAIN_S = 60


class WorkerQueue:
    """Implements model.types.Model over an engine that `build` makes in the thread.

    `build_base` makes an engine for another base model, by its name. A round of
    the engine that takes longer than `round_limit_s` has hung. With `shipped`
    the demo model begins with the adapter that comes with Lanner.
    """

    def __init__(
        self,
        build: Callable[[], Engine],
        adapters_dir: Path,
        *,
        adapter: str | None = None,
        shipped: Path | None = None,
        build_base: Callable[[str], Engine] | None = None,
        capacity: int = 64,
        round_limit_s: float = ROUND_LIMIT_S,
        drain_s: float = DRAIN_S,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build, self._adapter = build, adapter
        self._shelf = adapters.Shelf(adapters_dir, shipped)
        self._build_base, self._round_limit_s, self._drain_s = build_base, round_limit_s, drain_s
        self._clock, self._rng = clock, rng or random.SystemRandom()
        self._wake = threading.Condition()
        self._desk = Desk(capacity)
        self._worker: Worker | None = None
        self._started = asyncio.Event()

    async def start(self) -> None:
        """Load in the worker's thread; returns when ready or raises ModelError."""
        with self._wake:
            if self._worker is not None and self._worker.is_alive():
                return
            worker = Worker(self._built, self._desk, self._wake, self._clock, self._rng)
            self._worker = worker
        worker.start()
        Watch(worker, self._wake, self._round_limit_s).start()
        await asyncio.wrap_future(worker.ready)
        self._started.set()

    async def stop(self) -> None:
        """Cancel all and end the thread."""
        with self._wake:
            if self._worker is None:
                return
            self._worker.stopping = True
            for ticket in self._desk.all():
                ticket.cancelled = True
            self._wake.notify_all()
        if not self._worker.dead.done():
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

    async def reload(self, adapter: str | None, *, force: bool = False) -> ModelStatus:
        """See model.types.Model.reload."""
        info = None
        if adapter is not None:
            info = await asyncio.to_thread(self._shelf.named, adapter)
            adapters.check_verdict(info, force=force)
        decoder = self._loaded().decoder
        staged = await asyncio.to_thread(decoder.stage, info)
        if self._loaded().decoder is not decoder:
            raise AdapterRefused("The base model was changed meanwhile; try again.")
        return await self._ask(Switch(staged))

    async def reload_base(self, model: str) -> ModelStatus:
        """See model.types.Model.reload_base."""
        make = self._build_base
        if make is None:
            raise ModelUnavailable("This service cannot load another base model.")
        self._loaded()
        old, adapter = self._build, self.status().adapter

        def build() -> Engine:
            return make(model)

        def rebuild() -> Engine:
            return self._with_adapter(old(), adapter)

        status = await self._ask(Rebase(build, rebuild, self._clock() + self._drain_s))
        self._build, self._adapter = build, None
        return status

    async def failed(self) -> str:
        """See model.types.Model.failed."""
        await self._started.wait()
        assert self._worker is not None  # noqa: S101
        return await asyncio.wrap_future(self._worker.dead)

    def adapters(self) -> Sequence[AdapterInfo]:
        """See model.types.Model.adapters."""
        return self._shelf.all()

    def status(self) -> ModelStatus:
        """See model.types.Model.status."""
        worker, desk = self._worker, self._desk
        engine = worker.engine if worker else None
        decoder = engine.serving if engine else None
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
            slots=desk.slots if decoder else 0,
            running=desk.running,
            waiting=desk.waiting,
            capacity=desk.capacity,
            context_tokens=decoder.context if decoder else 0,
            tokens_per_s=worker.tokens_per_s if worker else 0.0,
            memory_bytes=decoder.memory_bytes() if decoder else 0,
            quantised_modules=decoder.quantised_modules if decoder else 0,
            last_error=worker.error if worker else None,
            extra={} if engine is None else _extra(engine),
        )

    def _loaded(self) -> Engine:
        worker = self._worker
        engine = worker.engine if worker else None
        ready = worker is not None and worker.state in ("ready", "reloading")
        if engine is None or worker is None or worker.stopping or not ready:
            raise ModelUnavailable("No model is loaded yet; try again in a moment.")
        return engine

    async def _ask(self, job: Job) -> ModelStatus:
        """Have the worker do something between two steps, and wait for it."""
        with self._wake:
            self._loaded()
            assert self._worker is not None  # noqa: S101
            self._worker.ask(job)
        await asyncio.wrap_future(job.done)
        return self.status()

    def _built(self) -> Engine:
        """In the worker's thread: the engine, with the adapter it is to begin with."""
        engine = self._build()
        return self._with_adapter(engine, self._adapter or self._usual(engine))

    def _usual(self, engine: Engine) -> str | None:
        folder = self._shelf.shipped if engine.decoder.demo else None
        return adapters.FOR_DEMO if folder and (folder / adapters.FOR_DEMO).is_dir() else None

    def _with_adapter(self, engine: Engine, adapter: str | None) -> Engine:
        if adapter not in (None, adapters.NONE):
            decoder = engine.decoder
            decoder.switch(decoder.stage(self._shelf.named(adapter)))
        return engine

    def _admit(self, ticket: Ticket) -> None:
        with self._wake:
            worker = self._worker
            if worker is None or worker.stopping or worker.state in ("stopped", "failed", "hung"):
                broken = worker is not None and worker.state in ("failed", "hung")
                reason = worker.error if worker and broken else None
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


def _extra(engine: Engine) -> dict[str, str]:
    """What the conversations' parked KV saves."""
    return {"parked conversations": str(engine.parked), "tokens kept": str(engine.kept_tokens)}
