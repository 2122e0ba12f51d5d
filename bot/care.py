"""What the bot owes people beyond a reply, put together: follow-ups, hand-over, disclosure.

Wires the three services into the turn's hooks and to Telegram. Knows no rule
of when something is due: each service knows its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from telegram import Bot
from telegram.error import Forbidden, TelegramError

from bot.asking import AfterGate, Asked, Hooks
from bot.clock import Clock
from bot.disclosure import Disclosure
from bot.follow_up import STEPS, FollowUps, Send
from bot.formatting import parts
from bot.hand_off import HandOff, Say
from bot.keyboards import keyboard
from bot.patience import patiently
from bot.safety.gate import SafetyGate
from bot.safety.spoken import spoken
from bot.safety.types import Assessment, Level, PersonContext
from bot.store.store import Store
from bot.store.tables import Conversation, Person

STATED_MINOR = "age.minor"  # the gate's rule that hears a person say that they are under 18


@dataclass(frozen=True, slots=True)
class Care:
    """The three services."""

    follow_ups: FollowUps
    hand_off: HandOff
    disclosure: Disclosure

    @classmethod
    def build(
        cls,
        bot: Bot,
        store: Store,
        clock: Clock,
        gate: SafetyGate,
        admins: Iterable[int],
        steps: Sequence[int] = STEPS,
    ) -> Care:
        """For the composition root."""
        return cls(
            FollowUps(store, clock, asking_by(bot, store, gate), steps),
            HandOff(store, clock, saying_by(bot), admins),
            Disclosure(store, clock),
        )

    def hook(self, hooks: Hooks, store: Store) -> None:
        """Take part in every turn."""
        hooks.after_gate += [self.follow_ups.heard, self.hand_off.heard, age_gate(store)]
        hooks.notices.append(self.disclosure.notice)
        hooks.takers.append(self.hand_off.relayed)


def age_gate(store: Store) -> AfterGate:
    """Somebody who says that they are under 18 is asked for their age again before they talk on."""

    async def heard(asked: Asked, _talk: Conversation, found: Assessment) -> None:
        if STATED_MINOR in found.rules:
            await store.withdraw_consent(asked.person)

    return heard


def saying_by(bot: Bot) -> Say:
    """Plain text to a chat; never raises."""

    async def say(chat: int, text: str) -> bool:
        try:
            for part in parts(text):
                await patiently(lambda part=part: bot.send_message(chat, part))  # type: ignore[misc]
        except TelegramError:
            return False
        return True

    return say


def asking_by(bot: Bot, store: Store, gate: SafetyGate) -> Send:
    """The follow-up: a fixed question with the lines, and two buttons."""

    async def send(person: Person, _level: Level) -> bool:
        language = person.language
        text = gate.follow_up(PersonContext(language, person.country)).text
        buttons = keyboard(
            [[(spoken("i_am_safe", language), "safe:yes")],
             [(spoken("i_am_not_safe", language), "safe:no")]]
        )  # fmt: skip
        try:
            message = await bot.send_message(person.id, text, reply_markup=buttons)
        except Forbidden:
            return False
        talk = await store.conversation(person.id, person.id)
        await store.add_message(
            talk.id, "assistant", text, model="fixed", telegram_id=message.message_id
        )
        return True

    return send
