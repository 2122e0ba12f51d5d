"""From a request to the words that may be shown: the model's stream through the output guard.

    Outcome.end   model (whole) · stopped · guarded · failed

Knows the model's events and the guard; knows nothing of Telegram, the store
or how the words are shown: `show` does that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot import texts
from bot.observing import End, TurnReport
from bot.safety.types import GuardTripped, OutputGuard
from model.types import Cancelled, Done, Failed, Model, ModelError, Queued, Request, Text


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the writing ended. `done` is None unless the reply is whole."""

    text: str
    end: End
    done: Done | None = None

    @property
    def keep(self) -> bool:
        """Whether the text is part of the conversation, not a word about the service."""
        return self.end != "failed" and bool(self.text.strip())

    def report(self) -> TurnReport:
        """For an operator."""
        if self.done is None:
            return TurnReport(self.end)
        done = self.done
        return TurnReport(
            self.end, done.queued_s, done.first_token_s, done.total_s, done.completion_tokens
        )

    def made(self) -> dict[str, Any]:
        """How the reply was made, for the store."""
        stopped = {"stopped": self.end == "stopped"}
        if self.done is None:
            return stopped
        done = self.done
        return stopped | {
            "model": done.model,
            "adapter": done.adapter,
            "prompt_tokens": done.prompt_tokens,
            "completion_tokens": done.completion_tokens,
            "turns_left_out": done.turns_left_out,
            "queued_s": done.queued_s,
            "first_token_s": done.first_token_s,
            "total_s": done.total_s,
        }


LEAVE_S = 0.3  # for a model to end a stopped writing by itself; a hung one never does


class Writer:
    """Asks the model. When its device is declared `dead`, every writing ends honestly."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._dead = asyncio.Event()
        self._sentence = ""
        self._left: dict[str, asyncio.Event] = {}

    def device_died(self, sentence: str) -> None:
        """Nothing will come from the model any more: say so wherever one waits for it."""
        self._sentence = sentence
        self._dead.set()

    def stop(self, request_id: str) -> bool:
        """End a writing, whether the model listens or hangs; False when there is none."""
        left = self._left.get(request_id)
        if left is None:
            return False
        self._model.cancel(request_id)
        left.set()
        return True

    async def write(
        self, request: Request, guard: OutputGuard, show: Callable[[str], None]
    ) -> Outcome:
        """The outcome, whatever happens to the model."""
        self._left[request.id] = asyncio.Event()
        follow = asyncio.create_task(self._follow(request, guard, show))
        dead = asyncio.create_task(self._dead.wait())
        left = asyncio.create_task(self._leave(request.id))
        try:
            await asyncio.wait({follow, dead, left}, return_when=asyncio.FIRST_COMPLETED)
            if follow.done():
                return follow.result()
            return Outcome(self._sentence if self._dead.is_set() else texts.STOPPED, "failed")
        finally:
            for task in (follow, dead, left):
                task.cancel()
            self._model.cancel(request.id)
            self._left.pop(request.id, None)
            await asyncio.gather(follow, dead, left, return_exceptions=True)

    async def _leave(self, request_id: str) -> None:
        await self._left[request_id].wait()
        await asyncio.sleep(LEAVE_S)

    async def _follow(
        self, request: Request, guard: OutputGuard, show: Callable[[str], None]
    ) -> Outcome:
        shown = ""
        if self._model.status().state == "loading":
            show(texts.LOADING)
        try:
            async for event in self._model.submit(request):
                if isinstance(event, Queued) and event.position > 1:
                    show(waiting(event))
                elif isinstance(event, Text):
                    shown += guard.feed(event.text)
                    show(shown)
                elif isinstance(event, Done):
                    return _whole(shown + guard.finish(), event)
                elif isinstance(event, Cancelled):
                    return Outcome(shown or texts.STOPPED, "stopped" if shown.strip() else "failed")
                elif isinstance(event, Failed):
                    return Outcome(event.sentence, "failed")
        except GuardTripped as tripped:
            return Outcome(tripped.reply, "guarded")
        except ModelError as error:
            return Outcome(str(error), "failed")
        return Outcome(texts.BROKEN, "failed")


def waiting(event: Queued) -> str:
    """The place in the queue, in words."""
    wait = f", about {event.wait_s:.0f} seconds" if event.wait_s else ""
    return texts.WAITING.format(place=event.position, wait=wait)


def _whole(text: str, done: Done) -> Outcome:
    # A model may end without a word; silence would look like a lost reply.
    return Outcome(text, "model", done) if text.strip() else Outcome(texts.EMPTY, "failed")
