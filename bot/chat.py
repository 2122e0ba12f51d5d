"""A chat turn: history, gate, model, guard, reply, history.

Knows the ports (store, gate, model, delivery); knows nothing of commands or
of how updates arrive. The gate decides before the model is asked anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from telegram import Bot

from bot import texts
from bot.delivery import Delivery
from bot.safety.types import (
    Assessment,
    Gate,
    GuardTripped,
    HistoryTurn,
    Level,
    OutputGuard,
    PersonContext,
)
from bot.store.conversations import Superseded
from bot.store.store import Store
from bot.store.tables import Conversation, Message
from model.types import (
    Cancelled,
    Done,
    Failed,
    Model,
    ModelError,
    Queued,
    Request,
    Sampling,
    Text,
    Turn,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a model's reply ended. `done` is None unless it is whole."""

    text: str
    done: Done | None = None
    keep: bool = True


class ChatService:
    """Answers people. One instance for all chats."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        guard: Callable[[], OutputGuard],
        model: Model,
        sampling: Sampling,
        deadline_s: float,
    ) -> None:
        self.store, self.gate, self.model = store, gate, model
        self._guard, self._sampling, self._deadline = guard, sampling, deadline_s
        self._numbers = itertools.count(1)
        self._running: dict[int, str] = {}

    def stop(self, chat_id: int) -> bool:
        """Stop the chat's reply at the next token."""
        request = self._running.get(chat_id)
        return request is not None and self.model.cancel(request)

    async def answer(
        self, bot: Bot, person_id: int, chat_id: int, text: str, message_id: int
    ) -> None:
        """One turn; the person's words are stored before anything else happens."""
        talk = await self.store.conversation(person_id, chat_id)
        earlier = await self.store.history(talk.id)
        asked = [
            i for i, m in enumerate(earlier) if m.role == "user" and m.telegram_id == message_id
        ]
        if asked:
            await self._resume(bot, person_id, talk, earlier, asked[0])
            return
        await self.store.add_message(talk.id, "user", text, telegram_id=message_id)
        await self._reply(bot, person_id, talk, earlier, text)

    async def _resume(
        self, bot: Bot, person_id: int, talk: Conversation, history: list[Message], at: int
    ) -> None:
        """A turn that a crash cut off: send what was written, or write it."""
        replies = [m for m in history[at + 1 :] if m.role == "assistant"]
        if not replies:
            await self._reply(bot, person_id, talk, history[:at], history[at].text)
        for reply in replies[:1]:
            if reply.telegram_id is None:
                delivery = Delivery(bot, talk.chat_id, next(self._numbers))
                await self._send(delivery, reply.id, reply.text)

    async def _send(self, delivery: Delivery, number: int, text: str) -> None:
        """Text is on disk before it is sent, and known as sent after."""
        await self.store.mark_sent(number, await delivery.send(text))

    async def retry(self, bot: Bot, person_id: int, chat_id: int) -> bool:
        """Answer the last message again; False when there is none."""
        talk = await self.store.conversation(person_id, chat_id)
        history = await self.store.history(talk.id)
        last = next((m for m in reversed(history) if m.role == "user"), None)
        if last is None:
            return False
        await self.store.cut_from(talk.id, last.id + 1)
        talk = await self.store.conversation(person_id, chat_id)  # the cut began a new epoch
        earlier = [m for m in history if m.id < last.id]
        await self._reply(bot, person_id, talk, earlier, last.text)
        return True

    async def edited(
        self, bot: Bot, person_id: int, chat_id: int, text: str, message_id: int
    ) -> None:
        """Answer anew from an edited message; what came after it is forgotten."""
        self.stop(chat_id)
        talk = await self.store.conversation(person_id, chat_id)
        history = await self.store.history(talk.id)
        old = next((m for m in history if m.role == "user" and m.telegram_id == message_id), None)
        if old is not None:
            await self.store.cut_from(talk.id, old.id)
        await self.answer(bot, person_id, chat_id, text, message_id)

    async def _reply(
        self, bot: Bot, person_id: int, talk: Conversation, earlier: list[Message], text: str
    ) -> None:
        found = self.gate.assess(text, _turns(earlier), Level(talk.risk))
        await self.store.record_decision(
            person_id, found.level, found.score, found.rules, found.version
        )
        await self.store.set_risk(talk.id, found.level)
        delivery = Delivery(bot, talk.chat_id, next(self._numbers))
        person = await self.store.person(person_id)
        context = PersonContext(person.language, person.country)
        if found.model_may_answer:
            outcome = await self._write(delivery, person_id, talk, earlier, text)
            await self._deliver(delivery, talk, outcome, found, context)
        else:
            fixed = self.gate.reply(found, context)
            number = await self.store.add_message(talk.id, "assistant", fixed.text, model="fixed")
            await self._send(delivery, number, fixed.text)

    async def _deliver(
        self,
        delivery: Delivery,
        talk: Conversation,
        outcome: Outcome,
        found: Assessment,
        context: PersonContext,
    ) -> None:
        if outcome.keep and outcome.text.strip():
            try:
                number = await self.store.add_message(
                    talk.id, "assistant", outcome.text, epoch=talk.epoch, **_measures(outcome.done)
                )
            except Superseded:
                # The person erased or left this conversation while the model wrote.
                return
            await self._send(delivery, number, outcome.text)
        else:
            await delivery.send(outcome.text if outcome.text.strip() else texts.BROKEN)
        if found.level is Level.CONCERN:
            await delivery.send(self.gate.check_in(context).text)

    async def _write(
        self,
        delivery: Delivery,
        person_id: int,
        talk: Conversation,
        earlier: list[Message],
        text: str,
    ) -> Outcome:
        name = f"{talk.chat_id}.{next(self._numbers)}"
        turns = (
            Turn("system", texts.SYSTEM),
            *(Turn(t.role, t.text) for t in _turns(earlier)),
            Turn("user", text),
        )
        request = Request(name, str(person_id), str(talk.id), turns, self._sampling, self._deadline)
        self._running[talk.chat_id] = name
        try:
            return await self._follow(delivery, request)
        except GuardTripped as tripped:
            return Outcome(tripped.reply)
        except ModelError as error:
            return Outcome(str(error), keep=False)
        finally:
            self._running.pop(talk.chat_id, None)
            self.model.cancel(name)

    async def _follow(self, delivery: Delivery, request: Request) -> Outcome:
        guard, shown = self._guard(), ""
        await delivery.show("", now=True)
        async for event in self.model.submit(request):
            if isinstance(event, Queued) and event.position > 1:
                wait = f", about {event.wait_s:.0f} seconds" if event.wait_s else ""
                await delivery.show(texts.WAITING.format(place=event.position, wait=wait))
            elif isinstance(event, Text):
                shown += guard.feed(event.text)
                await delivery.show(shown)
            elif isinstance(event, Done):
                return Outcome(shown + guard.finish(), event)
            elif isinstance(event, Cancelled):
                return Outcome(shown or texts.STOPPED, keep=bool(shown))
            elif isinstance(event, Failed):
                return Outcome(event.sentence, keep=False)
        return Outcome(texts.BROKEN, keep=False)


def _turns(messages: list[Message]) -> tuple[HistoryTurn, ...]:
    return tuple(HistoryTurn("user" if m.role == "user" else "assistant", m.text) for m in messages)


def _measures(done: Done | None) -> dict[str, Any]:
    if done is None:
        return {}
    return {
        "model": done.model,
        "adapter": done.adapter,
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "turns_left_out": done.turns_left_out,
        "first_token_s": done.first_token_s,
        "total_s": done.total_s,
    }
