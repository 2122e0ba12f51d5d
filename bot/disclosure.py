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
from bot.store.disclosures import Talked
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
        now, asks = self._clock(), asks_what_it_is(asked.text)
        due = False

        def change(known: Talked | None) -> Talked:
            nonlocal due
            found = known or Talked(now, now, 0.0)
            silence = now - found.last_said
            talked = found.talked_s + (silence.total_seconds() if silence <= PAUSE else 0.0)
            due = asks or silence >= IDLE or talked >= TALK.total_seconds()
            return Talked(now, now, 0.0) if due else Talked(found.told, now, talked)

        language = await self._store.note_talk(asked.person, change)
        return spoken("disclosure", language) if due and language else None
