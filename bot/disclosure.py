"""Says that this is a program: every three hours of talk, after a week's pause, when asked.

At the start the text of consent says it. Knows when it must be said; the
question, in any wording, is recognised in bot/safety/asks.py.
"""

from __future__ import annotations

from datetime import timedelta

from bot.asking import Asked
from bot.clock import Clock
from bot.safety.asks import asks_what_it_is
from bot.safety.spoken import spoken
from bot.store.store import Store

TALK = timedelta(hours=3)
IDLE = timedelta(days=7)
PAUSE = timedelta(minutes=30)  # a longer silence is not talk


class Disclosure:
    """One for all people."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def notice(self, asked: Asked) -> str | None:
        """A turn's hook: the words to say before the reply, or None."""
        now, known = self._clock(), await self._store.disclosure(asked.person)
        told, talked, idle = now, 0.0, False
        if known is not None:
            silence = now - known.last_said
            told = known.told
            talked = known.talked_s + (silence.total_seconds() if silence <= PAUSE else 0.0)
            idle = silence >= IDLE
        due = asks_what_it_is(asked.text) or idle or talked >= TALK.total_seconds()
        if due:
            told, talked = now, 0.0
        await self._store.note_talk(asked.person, told=told, last_said=now, talked_s=talked)
        if not due:
            return None
        person = await self._store.person(asked.person)
        return spoken("disclosure", person.language)
