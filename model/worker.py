"""The thread that owns the device: loads, joins, steps, reloads, and tells what happened.

Knows the engine and the desk; knows nothing of asyncio, Telegram or people.
Only this thread touches the engine; the desk is shared, under `wake`.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

from model.engine import Engine
from model.tickets import Desk, Ticket
from model.types import (
    AdapterInfo,
    Cancelled,
    Done,
    Event,
    Failed,
    ModelError,
    ModelUnavailable,
    Text,
)

LATE = "This took too long, so I stopped. Please send /retry to try again."
BROKEN = "Something went wrong while I was writing. Please send /retry to try again."

State = Literal["loading", "ready", "reloading", "failed", "stopped"]


class Worker(threading.Thread):
    """Runs the engine that `build` makes until `stopping` is set."""

    def __init__(
        self,
        build: Callable[[], Engine],
        desk: Desk,
        wake: threading.Condition,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        super().__init__(name="model", daemon=True)
        self._build, self._clock, self._rng = build, clock, rng
        self._desk, self._wake = desk, wake
        self._jobs: deque[tuple[AdapterInfo | None, Future[None]]] = deque()
        self.ready: Future[None] = Future()
        self.engine: Engine | None = None
        self.state: State = "loading"
        self.stopping = False
        self.error: str | None = None
        self.tokens_per_s = 0.0

    def reload(self, info: AdapterInfo | None) -> Future[None]:
        """Ask for another adapter, between two steps; called under `wake`."""
        done: Future[None] = Future()
        self._jobs.append((info, done))
        self._wake.notify_all()
        return done

    def run(self) -> None:
        """The thread's life, from loading to releasing the device."""
        self.ready.set_running_or_notify_cancel()
        try:
            engine = self.engine = self._build()
        except Exception as error:
            self._fail(error)
            return
        self.state, self._desk.slots = "ready", engine.slots
        self.ready.set_result(None)
        while not self.stopping:
            try:
                self._round(engine)
            except Exception as error:
                self._recover(engine, error)
        self._end("stopped")
        engine.clear()
        self.engine = None

    def _round(self, engine: Engine) -> None:
        with self._wake:
            while not (self._jobs or self._desk.all() or self.stopping):
                self._wake.wait()
        self._reload_next(engine)
        self._drop_ended(engine)
        self._join_waiting(engine)
        began, wrote = self._clock(), engine.step()
        if wrote:
            now = wrote / max(self._clock() - began, 1e-6)
            self.tokens_per_s = 0.9 * self.tokens_per_s + 0.1 * now if self.tokens_per_s else now
        self._publish(engine)

    def _reload_next(self, engine: Engine) -> None:
        with self._wake:
            if not self._jobs:
                return
            info, done = self._jobs.popleft()
        if not done.set_running_or_notify_cancel():
            return
        self.state = "reloading"
        try:
            engine.decoder.load_adapter(info)
        except Exception as error:
            self.state = "ready"
            done.set_exception(error)
        else:
            self.state = "ready"
            done.set_result(None)

    def _drop_ended(self, engine: Engine) -> None:
        """Requests that were cancelled or have waited past their deadline."""
        now = self._clock()
        with self._wake:
            tickets = self._desk.all()
        for ticket in tickets:
            late = now - ticket.born > ticket.request.deadline_s
            if ticket.cancelled or late:
                engine.leave(ticket.request.id)
                self._close(ticket, Cancelled(ticket.text) if ticket.cancelled else Failed(LATE))

    def _join_waiting(self, engine: Engine) -> None:
        with self._wake:
            taken = self._desk.take(engine.room)
        if not taken:
            return
        try:
            joined = engine.join([(t.request, self._rng.getrandbits(48)) for t in taken])
        except Exception as error:
            # One bad request, or too little memory for so many: the others go on.
            self.error = type(error).__name__
            for ticket in taken:
                engine.leave(ticket.request.id)
                self._close(ticket, Failed(BROKEN))
            return
        for ticket, running in zip(taken, joined, strict=True):
            ticket.running = running
        self._publish(engine)

    def _publish(self, engine: Engine) -> None:
        for running in list(engine.running.values()):
            with self._wake:
                ticket = self._desk.find(running.request.id)
            if ticket is None:
                continue
            if running.fresh:
                ticket.emit(Text(running.fresh))
                running.fresh = ""
            if running.ended:
                engine.leave(running.request.id)
                took = self._clock() - running.started
                self._close(ticket, self._done(ticket, engine.decoder.name), took)

    def _done(self, ticket: Ticket, model: str) -> Done:
        now, running = self._clock(), ticket.running
        assert running is not None  # noqa: S101
        return Done(
            text=ticket.text,
            reason=running.ended or "stop",
            model=model,
            adapter=running.adapter,
            prompt_tokens=running.prompt_tokens,
            completion_tokens=running.written,
            turns_left_out=running.turns_left_out,
            queued_s=running.started - ticket.born,
            first_token_s=(running.first_token or now) - ticket.born,
            total_s=now - ticket.born,
        )

    def _close(self, ticket: Ticket, event: Event, took_s: float | None = None) -> None:
        with self._wake:
            self._desk.close(ticket, took_s)
        ticket.emit(event)

    def _recover(self, engine: Engine, error: Exception) -> None:
        """A failed step ends the replies in it honestly and leaves the rest waiting."""
        self.error = type(error).__name__
        engine.clear()
        with self._wake:
            hit = [t for t in self._desk.all() if t.running]
        for ticket in hit:
            self._close(ticket, Cancelled(ticket.text) if ticket.cancelled else Failed(BROKEN))

    def _fail(self, error: Exception) -> None:
        self.error = str(error) if isinstance(error, ModelError) else type(error).__name__
        self._end("failed")
        self.ready.set_exception(
            error
            if isinstance(error, ModelError)
            else ModelUnavailable(f"The model did not load ({self.error}).")
        )

    def _end(self, state: State) -> None:
        """Nobody is left waiting for a thread that has ended."""
        with self._wake:
            self.state = state
            tickets, jobs = self._desk.all(), list(self._jobs)
            self._jobs.clear()
        for ticket in tickets:
            self._close(ticket, Cancelled(ticket.text) if ticket.cancelled else Failed(BROKEN))
        for _, done in jobs:
            if done.set_running_or_notify_cancel():
                done.set_exception(ModelUnavailable("The model has stopped."))
