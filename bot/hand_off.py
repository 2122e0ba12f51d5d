"""An operator may take over a chat, if its person agreed, and gives it back.

The person is told each time who writes. The operator is told of danger without
anyone's words. Words pass through Telegram and the person's history, nowhere
else. Knows nothing of commands: bot/handlers/hand_off.py translates them.

    NotAllowed     the person has not agreed
    TakenAlready   somebody has taken over already
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from bot.asking import Asked, Danger
from bot.clock import Clock
from bot.safety.types import Assessment, Level
from bot.store.admission import Standing
from bot.store.hand_overs import NotAllowed as NotAllowed
from bot.store.hand_overs import TakenAlready as TakenAlready
from bot.store.store import Store
from bot.store.tables import Conversation

log = logging.getLogger(__name__)
Say = Callable[[int, str], Awaitable[bool]]
"""Sends plain text to a chat; False when it did not arrive."""

ALERT = (
    "A person who agreed to be handed over may be in danger: {person}, level {level}. "
    "/handoff {person} takes over the chat."
)
TAKEN = (
    "From now on a human being writes to you here: an operator of this bot. "
    "Their messages begin with “Operator:”. I, the program, am silent until they give back."
)
GIVEN_BACK = "The operator has left the chat. From now on the program writes again, not a person."
PREFIX = "Operator: "
PASSED_ON = "(passed on to the operator)"
NOT_REACHED = "That did not reach the person: they may have blocked the bot."
PERSON_ENDED = "The person has ended the hand-over. What you write goes to the program again."


class HandOff:
    """One for all chats. `say` must not raise."""

    def __init__(self, store: Store, clock: Clock, say: Say, admins: Iterable[int]) -> None:
        self._store, self._clock, self._say = store, clock, say
        self._admins = tuple(admins)
        self._alerted: dict[int, int] = {}

    async def allow(self, person_id: int, *, allowed: bool) -> None:
        """The person's wish; taking it back sends an operator away at once."""
        operator = await self._store.allow_hand_over(person_id, allowed=allowed)
        if operator is not None:
            await self._say(person_id, GIVEN_BACK)
            await self._say(operator, PERSON_ENDED)

    async def heard(self, asked: Asked, _talk: Conversation, found: Assessment) -> None:
        """A turn's hook: tells the operators of danger, once for each rise of the level."""
        before = self._alerted.get(asked.person, 0)
        self._alerted[asked.person] = int(found.level)
        if asked.group or found.level < Level.HIGH or found.level <= before:
            return
        agreed = await self._store.hand_over(asked.person)
        if agreed is None or not agreed.allowed or agreed.operator_id is not None:
            return
        text = ALERT.format(person=asked.person, level=int(found.level))
        for admin in self._admins:
            await self._say(admin, text)

    async def take(self, operator: int, person: int) -> None:
        """The operator writes from now on; raises NotAllowed or TakenAlready."""
        await self._store.take_over(person, operator)
        await self._store.record_action(operator, "hand over", "taken", person)
        await self._say(person, TAKEN)

    async def give_back(self, operator: int) -> int | None:
        """The program writes again; the person's id, None when there was nobody."""
        person = await self._store.give_back(operator)
        if person is not None:
            await self._store.record_action(operator, "hand over", "given back", person)
            await self._say(person, GIVEN_BACK)
        return person

    async def waiting(self) -> list[tuple[int, int]]:
        """(person, level) of people at risk who agreed, the gravest first."""
        return await self._store.people_at_risk()

    async def relayed(self, asked: Asked, standing: Standing, danger: Danger) -> bool:
        """Pass words on if an operator has taken over; True when no program must answer.

        Words of danger reach the operator and are answered by the fixed reply too.
        """
        if asked.group or not asked.text:
            return False
        person = await self._store.person_of(asked.person) if asked.person in self._admins else None
        if person is not None:
            await self._from_operator(asked, person)
            return True
        operator = standing.operator
        if operator is None:
            return False
        if operator not in self._admins:  # they were an operator once
            await self._give_up(asked.person, operator)
            return False
        taken = not await danger()
        await self._from_person(asked, operator, keep=taken)
        return taken

    async def _from_operator(self, asked: Asked, person: int) -> None:
        if not await self._say(person, PREFIX + asked.text):
            await self._say(asked.person, NOT_REACHED)
            return
        talk = await self._store.conversation(person, person)
        await self._store.add_message(talk.id, "assistant", asked.text, model="operator")

    async def _from_person(self, asked: Asked, operator: int, *, keep: bool) -> None:
        if keep:
            talk = await self._store.conversation(asked.person, asked.chat)
            await self._store.add_message(talk.id, "user", asked.text, telegram_id=asked.message_id)
        arrived = await self._say(operator, asked.text)
        if keep and arrived:
            await self._say(asked.chat, PASSED_ON)
        elif not arrived:
            await self._give_up(asked.person, operator)

    async def _give_up(self, person: int, operator: int) -> None:
        """An operator who cannot be reached must not keep a person waiting."""
        log.error("An operator who took over a chat cannot be reached; the program writes again.")
        await self._store.give_back(operator)
        await self._say(person, GIVEN_BACK)
