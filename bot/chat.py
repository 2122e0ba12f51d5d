"""A chat turn: history, gate, model, guard, reply, history.

A turn is named by its update and leaves its state in the store's outbox, so
that the same update, handled again after a crash, goes on where it was. Knows
the ports (store, gate, model, postman); knows nothing of commands or of how
updates arrive. The gate decides before the model is asked anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from telegram import Bot

from bot import texts
from bot.asking import Asked, Hooks
from bot.emergency import Emergency
from bot.formatting import parts
from bot.history import (
    BY_ANSWER,
    Find,
    Said,
    further,
    last,
    message_of,
    no_words,
    said_in,
    spoken,
)
from bot.keyboards import STOP
from bot.live import LiveView, Mode
from bot.observing import TurnObserver, TurnReport
from bot.outbox import Postman
from bot.safety.aside import Aside
from bot.safety.types import Assessment, Gate, Level, PersonContext
from bot.store.conversations import Superseded
from bot.store.store import Store
from bot.store.tables import Conversation, Message, OutboxPart
from bot.store.turns import Begun, Change, Decision, Manner, Wish
from bot.writing import Outcome, Writer
from model.types import Model, Request, Sampling, Turn


class ChatService:
    """Answers people. One instance for all chats; a chat's turns come one by one."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        model: Model,
        sampling: Sampling,
        deadline_s: float,
        observer: TurnObserver,
        emergency: Emergency,
        aside: Aside,
    ) -> None:
        self.store, self.gate, self.model, self.hooks = store, gate, model, Hooks()
        self.writer = Writer(model)
        self._postman, self._observer, self._aside = Postman(store, observer), observer, aside
        self._sampling, self._deadline, self._emergency = sampling, deadline_s, emergency
        self._running: dict[tuple[int, int], tuple[str, asyncio.Task[object] | None]] = {}

    async def is_danger(self, words: str) -> bool:
        """Whether these words, by themselves, must not reach the model."""
        return not (await self._aside.assess(words)).model_may_answer

    def stop(self, chat: int, person: int | None = None) -> bool:
        """Stop the reply that is being written, at the next token; in a group, the person's."""
        running = self._running.get((chat, chat if person is None else person))
        return running is not None and self.writer.stop(running[0])

    def park(self) -> None:
        """Free the device at once, for the next start to answer anew: the process ends."""
        for request, task in self._running.values():
            if task is not None:
                task.cancel()
            self.model.cancel(request)

    async def answer(self, bot: Bot, asked: Asked) -> None:
        """Answer a message; its words are stored before anything else happens."""

        def keep(_talk: Conversation, history: list[Message]) -> Change:
            known = said_in(history, asked.message_id)
            return Change() if known else Change(None, asked.text, asked.message_id)

        await self._turn(bot, asked, keep, message_of(asked.message_id))

    async def edited(self, bot: Bot, asked: Asked) -> None:
        """Answer anew from an edited message; what came after it is forgotten."""

        def change(_talk: Conversation, history: list[Message]) -> Change:
            old = said_in(history, asked.message_id)
            return Change(old.id if old else None, asked.text, asked.message_id)

        await self._turn(bot, asked, change, message_of(asked.message_id))

    async def retry(self, bot: Bot, asked: Asked) -> bool:
        """Answer the last message again; False when there is none."""

        def cut(talk: Conversation, history: list[Message]) -> Change | None:
            said = last(talk, history)
            return Change(said.number + 1) if said else None

        return await self._turn(bot, asked, cut, last)

    async def go_on(self, bot: Bot, asked: Asked) -> bool:
        """Let the model go on from its last words; False when there are none."""

        def there(talk: Conversation, history: list[Message]) -> Change | None:
            return Change() if further(talk, history) else None

        return await self._turn(bot, asked, there, further)

    async def alarmed(self, bot: Bot, asked: Asked) -> None:
        """Answer what is danger without words (`asked.alarm`) as words of danger are."""
        await self._turn(bot, asked, lambda _talk, _history: Change(), no_words)

    async def _turn(self, bot: Bot, asked: Asked, wish: Wish, find: Find) -> bool:
        """Begin the turn, or go on with one that a crash cut off; False: nothing to answer."""
        begun: Begun | None = None
        try:
            begun = await self.store.begin_turn(asked.turn, asked.person, asked.chat, wish)
            if begun is None:
                return False
            if begun.written:
                await self._deliver(bot, asked, begun.parts)
                return True
            said = find(begun.talk, begun.history)
            if said is None:
                return False
            await self._reply(bot, asked, said, begun.parts[0])
        except Superseded:
            # The person erased, left or changed this conversation meanwhile.
            self._observer.turn_ended(TurnReport("dropped"))
            known = begun.parts if begun else []
            await self._postman.withdraw(bot, await self.store.turn_parts(asked.turn) or known)
        return True

    async def _reply(self, bot: Bot, asked: Asked, said: Said, first: OutboxPart) -> None:
        found = await self._found(asked, said)
        person = await self.store.decide(
            asked.person,
            asked.chat,
            Decision(found.level, found.score, found.rules, found.version),
        )
        self._observer.decided(found.level)
        for told in self.hooks.after_gate:
            await told(asked, said.talk, found)
        if found.model_may_answer:
            kept = await self._by_model(bot, asked, said, first, found, person)
        else:
            fixed = self.gate.reply(found, _context(person)).text
            made = BY_ANSWER if asked.alarm else "fixed"
            kept = await self.store.generated(asked.turn, parts(fixed), fixed, model=made)
            self._observer.turn_ended(TurnReport("fixed"))
        await self._deliver(bot, asked, kept)

    async def _found(self, asked: Asked, said: Said) -> Assessment:
        held = Level(said.talk.risk)
        if asked.alarm:
            return self.gate.answered(held)
        return await self._aside.assess(said.judged, spoken(said.before), held)

    async def _by_model(
        self,
        bot: Bot,
        asked: Asked,
        said: Said,
        first: OutboxPart,
        found: Assessment,
        person: Manner,
    ) -> list[OutboxPart]:
        """Write, show the writing, and store the reply before it is delivered."""
        before = await self.hooks.said_before(asked)
        context = _context(person)
        reply_to = asked.message_id if asked.group else None
        mode = _mode(person.streaming, asked)
        async with LiveView(
            bot, asked.chat, mode, int(asked.turn),
            lambda: self._postman.place(bot, first, reply_to, STOP), STOP,
        ) as view:  # fmt: skip
            guard = self.gate.guard(context)
            outcome = await self._write(asked, said, lambda request: self.writer.write(
                request, guard, view.show))  # fmt: skip
            shown = [*before, *parts(outcome.text)]
            # Where the concern begins: numbers under every message would drive people away.
            if found.level is Level.CONCERN and said.talk.risk < Level.CONCERN:
                shown.append(self.gate.check_in(context).text)
            words = outcome.text if outcome.keep else None
            kept = await self.store.generated(asked.turn, shown, words, **outcome.made())
        self._observer.turn_ended(outcome.report())
        return kept

    async def _write(
        self, asked: Asked, said: Said, write: Callable[[Request], Awaitable[Outcome]]
    ) -> Outcome:
        turns = (
            Turn("system", texts.SYSTEM),
            *(Turn(t.role, t.text) for t in spoken(said.earlier)),
            Turn("user", said.words),
        )
        owner, talk = str(asked.person), str(said.talk.id)
        request = Request(asked.turn, owner, talk, turns, self._sampling, self._deadline)
        self._running[asked.chat, asked.person] = request.id, asyncio.current_task()
        try:
            # Danger may have come before there was anything to stop.
            hurried = self.hooks.hurries(asked.chat, asked.person)
            return Outcome(texts.STOPPED, "failed") if hurried else await write(request)
        finally:
            self._running.pop((asked.chat, asked.person), None)

    async def _deliver(self, bot: Bot, asked: Asked, kept: list[OutboxPart]) -> None:
        if asked.turn in self._emergency.told:
            # The person has the fixed text already, from when the store was down.
            for part in kept:
                await self.store.sent(part.id)
            return
        reply_to = asked.message_id if asked.group else None
        await self._postman.deliver(bot, kept, reply_to, lambda: self._emergency.claim(asked.turn))


def _mode(streaming: str, asked: Asked) -> Mode:
    if streaming == "off":
        return "off"
    return "draft" if streaming == "draft" and not asked.group else "edit"


def _context(person: Manner) -> PersonContext:
    return PersonContext(person.language, person.country)
