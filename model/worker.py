"""The thread that owns the device: loads, joins, steps, reloads, and tells what happened.

Knows the engine and the desk; knows nothing of asyncio, Telegram or people.
Only this thread touches the engine; the desk is shared, under `wake`. `since`
tells the watch (model/watch.py) how long the device has been at work.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from model.decoders.protocol import DeviceLost
from model.engine import Engine
from model.jobs import STILL_TALKING, Job, OldIsGone, Rebase
from model.tickets import Desk, Ticket
from model.types import (
    Cancelled,
    Done,
    Event,
    Failed,
    ModelError,
    ModelUnavailable,
    State,
    Text,
)

LATE = "This took too long, so I stopped. Please send /retry to try again."
BROKEN = "Something went wrong while I was writing. Please send /retry to try again."
LOST = "The device that the model runs on has failed: the service must start again."
# Rounds that may fail one after the other before the device is asked to prove itself.
STRIKES = 3


class Worker(threading.Thread):
    """Runs the engine that `build` makes until `stopping` is set or the device is dead."""

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
        self._jobs: deque[Job] = deque()
        self._strikes = 0
        self.ready: Future[None] = Future()
        self.dead: Future[str] = Future()
        self.engine: Engine | None = None
        self.state: State = "loading"
        self.stopping = False
        self.since: float | None = None
        self.error: str | None = None
        self.tokens_per_s = 0.0
        for future in (self.ready, self.dead):
            # Nobody who stops waiting may cancel it for the others.
            future.set_running_or_notify_cancel()

    def ask(self, job: Job) -> None:
        """Have something done between two steps; called under `wake`."""
        job.done.set_running_or_notify_cancel()
        self._jobs.append(job)
        self._wake.notify_all()

    def run(self) -> None:
        """The thread's life, from loading to releasing the device."""
        try:
            self.engine = self._build()
        except Exception as error:
            self._not_loaded(error)
            return
        self.state, self._desk.slots = "ready", self.engine.width
        self.ready.set_result(None)
        while not self.stopping and not self.dead.done():
            try:
                self._round(self.engine)
            except Exception as error:
                self._recover(self.engine, error)
            finally:
                self.since = None
        if self.dead.done():
            return
        self._end("stopped", BROKEN)
        self.engine.clear()
        self.engine = None

    def die(self, state: State, sentence: str) -> None:
        """The device is dead: nobody is left waiting for it. From any thread, once."""
        with self._wake:
            if self.dead.done():
                return
            self.error = sentence
            self.dead.set_result(sentence)
        self._end(state, BROKEN)

    def drop_ended(self) -> list[Ticket]:
        """End, and return, what was cancelled or has waited past its deadline; any thread."""
        now = self._clock()
        with self._wake:
            tickets = self._desk.all()
        over = []
        for ticket in tickets:
            late = now - ticket.born > ticket.request.deadline_s
            if ticket.cancelled or late:
                self._close(ticket, Cancelled(ticket.text) if ticket.cancelled else Failed(LATE))
                over.append(ticket)
        return over

    def _round(self, engine: Engine) -> None:
        with self._wake:
            while not (self._jobs or self._desk.all() or engine.running or self.stopping):
                self._wake.wait()
        self.since = time.monotonic()
        self.drop_ended()
        self._leave_closed(engine)
        engine = self._next_job(engine)
        self._join_waiting(engine)
        began, wrote = self._clock(), engine.advance()
        if wrote:
            now = wrote / max(self._clock() - began, 1e-6)
            self.tokens_per_s = 0.9 * self.tokens_per_s + 0.1 * now if self.tokens_per_s else now
        self._publish(engine)
        self._strikes = 0

    def _next_job(self, engine: Engine) -> Engine:
        with self._wake:
            job = self._jobs[0] if self._jobs else None
        if job is None:
            return engine
        self.state = "reloading"
        if isinstance(job, Rebase) and engine.running and self._clock() > job.give_up_at:
            self._finish(job, ModelUnavailable(STILL_TALKING))
        elif job.may_run(engine):
            # Loading a model takes as long as it takes: the watch is off.
            self.since = None if isinstance(job, Rebase) else self.since
            engine = self._do(job, engine)
        return engine

    def _do(self, job: Job, engine: Engine) -> Engine:
        try:
            self.engine = job.run(engine)
        except OldIsGone as error:
            self._finish(job, ModelUnavailable(str(error)))
            self.die("failed", str(error))
        except Exception as error:
            self._finish(job, error)
            if lost(error):
                self.die("failed", LOST)
        else:
            self._desk.slots = self.engine.width
            self._finish(job, None)
        return self.engine or engine

    def _finish(self, job: Job, error: Exception | None) -> None:
        with self._wake:
            self._jobs.popleft()
            self.state = "reloading" if self._jobs else "ready"
        if error is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(error)

    def _leave_closed(self, engine: Engine) -> None:
        """Replies whose ticket was closed, here or by the watch, give up their slots."""
        with self._wake:
            open_ = {id(t.running) for t in self._desk.all() if t.running}
        for running in list(engine.running):
            if id(running) not in open_:
                engine.leave(running)

    def _join_waiting(self, engine: Engine) -> None:
        with self._wake:
            if self.dead.done() or (self._jobs and self._jobs[0].alone):
                return
            taken = self._desk.take(engine.room)
        for ticket in taken:
            try:
                ticket.running = engine.join(ticket.request, self._rng.getrandbits(48))
            except Exception as error:
                # One bad request: the others go on.
                self.error = type(error).__name__
                self._close(ticket, Failed(BROKEN))
                if lost(error):
                    raise

    def _publish(self, engine: Engine) -> None:
        with self._wake:
            open_ = {id(t.running): t for t in self._desk.all() if t.running}
        for running in list(engine.running):
            ticket = open_.get(id(running))
            if ticket is None:
                engine.leave(running)
                continue
            if running.fresh:
                ticket.emit(Text(running.fresh))
                running.fresh = ""
            if running.ended:
                engine.leave(running)
                self._tell_end(ticket, engine)

    def _tell_end(self, ticket: Ticket, engine: Engine) -> None:
        running = ticket.running
        assert running is not None  # noqa: S101
        if running.ended == "failed":
            self.error = engine.error
            self._close(ticket, Failed(BROKEN))
            return
        took = self._clock() - running.started
        self._close(ticket, self._done(ticket, engine.decoder.name), took)

    def _done(self, ticket: Ticket, model: str) -> Done:
        now, running = self._clock(), ticket.running
        assert running is not None  # noqa: S101
        return Done(
            text=ticket.text,
            reason="length" if running.ended == "length" else "stop",
            model=model,
            adapter=running.adapter,
            prompt_tokens=len(running.prompt),
            completion_tokens=running.written,
            turns_left_out=running.turns_left_out,
            queued_s=running.started - ticket.born,
            first_token_s=(running.first_token or now) - ticket.born,
            total_s=now - ticket.born,
        )

    def _close(self, ticket: Ticket, event: Event, took_s: float | None = None) -> None:
        """Tell the end, once: the watch may have done so already."""
        with self._wake:
            if not self._desk.close(ticket, took_s):
                return
        ticket.emit(event)

    def _recover(self, engine: Engine, error: Exception) -> None:
        """A failed step ends the replies in it honestly and leaves the rest waiting."""
        self.error = type(error).__name__
        self._strikes += 1
        if lost(error) or (self._strikes >= STRIKES and not _answers(engine)):
            self.die("failed", LOST)
            return
        with self._wake:
            hit = [t for t in self._desk.all() if t.running]
        for ticket in hit:
            self._close(ticket, Cancelled(ticket.text) if ticket.cancelled else Failed(BROKEN))
        engine.clear()

    def _not_loaded(self, error: Exception) -> None:
        self.error = str(error) if isinstance(error, ModelError) else type(error).__name__
        self._end("failed", BROKEN)
        self.ready.set_exception(
            error
            if isinstance(error, ModelError)
            else ModelUnavailable(f"The model did not load ({self.error}).")
        )

    def _end(self, state: State, sentence: str) -> None:
        """Nobody is left waiting for a thread that has ended."""
        with self._wake:
            self.state = state
            tickets, jobs = self._desk.all(), list(self._jobs)
            self._jobs.clear()
        for ticket in tickets:
            self._close(ticket, Cancelled(ticket.text) if ticket.cancelled else Failed(sentence))
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(ModelUnavailable("The model has stopped."))


def lost(error: BaseException) -> bool:
    """Whether the device cannot be used again: a CUDA error sticks to the process.

    Too little memory is no such error: PyTorch raises another class for it.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in names:
        return False
    return (
        isinstance(error, DeviceLost) or "AcceleratorError" in names or "CUDA error" in str(error)
    )


def _answers(engine: Engine) -> bool:
    try:
        engine.clear()
        engine.canary()
    except Exception:
        return False
    return True
