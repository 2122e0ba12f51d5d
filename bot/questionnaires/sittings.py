"""Sittings in the store as values that can be asked: open, done, run out, or gone.

Knows how long one stays open, and what is kept of one; knows nothing of what a
person sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.clock import Clock
from bot.questionnaires.filling import Filling
from bot.questionnaires.instruments import Instrument, Shelf
from bot.questionnaires.views import Result
from bot.store.questionnaires import SITTING
from bot.store.store import Store
from bot.store.tables import Sitting


@dataclass(frozen=True, slots=True)
class Held:
    """A sitting that can be read. `open`: it may still be answered."""

    number: int
    filling: Filling
    instrument: Instrument
    begun: datetime
    done: bool
    ran_out: bool

    @property
    def open(self) -> bool:
        """Whether it may still be answered."""
        return not (self.done or self.ran_out)

    @property
    def result(self) -> Result:
        """What is shown of it once it is done."""
        return Result(self.number, self.filling, self.instrument, self.begun)

    @property
    def has_danger(self) -> bool:
        """Whether one of its answers is danger by itself."""
        answers = enumerate(self.filling.answers)
        return any(self.instrument.is_danger(item, each.value) for item, each in answers)


class Sittings:
    """One person's, read and kept."""

    def __init__(self, store: Store, clock: Clock, shelf: Shelf) -> None:
        self._store, self._clock, self._shelf = store, clock, shelf

    async def newest(self, person: int) -> tuple[Sitting | None, Held | None]:
        """The one that was begun last, and what can be read of it."""
        row = await self._store.newest_sitting(person)
        return row, self._read(row)

    async def numbered(self, person: int, number: int) -> tuple[Sitting | None, Held | None]:
        """The one with this number, and what can be read of it."""
        row = await self._store.sitting(person, number)
        return row, self._read(row)

    async def done(self, person: int, most: int) -> list[Held]:
        """Those that were answered to their end, the newest first."""
        rows = await self._store.done_sittings(person, most)
        return [held for row in rows if (held := self._read(row)) is not None]

    async def begin(self, person: int, of: Instrument) -> tuple[int, Filling]:
        """A new one, in place of what was open."""
        newest = await self._store.newest_message(person)
        filling = Filling(of.key, self._shelf.version, after=newest)
        return await self._store.begin_sitting(person, filling.kept()), filling

    async def keep(self, person: int, held: Held, filling: Filling) -> bool:
        """What was answered; at the end with score and band, for the person's export."""
        newest = await self._store.newest_message(person)
        kept: dict[str, Any] = replace(filling, after=newest).kept()
        of = held.instrument
        done = len(filling.answers) == len(of.items)
        if done:
            score = filling.score
            kept |= {"score": score, "most": of.most, "band": of.band(score).name}
        return await self._store.keep_answers(person, held.number, kept, done=done)

    async def drop(self, person: int, number: int) -> bool:
        """Delete an open one, run out or not."""
        return await self._store.drop_sitting(person, number)

    async def asked_last(self, person: int, held: Held) -> bool:
        """Whether its question is the last thing that was said in the talk."""
        newest = await self._store.newest_message(person)
        return held.open and not held.filling.paused and newest <= held.filling.after

    def ran_out(self, row: Sitting | None) -> bool:
        """Whether it was left open for too long; its answers may be deleted already."""
        return row is not None and row.state == "open" and self._clock() - row.begun >= SITTING

    def _read(self, row: Sitting | None) -> Held | None:
        filling = None if row is None else Filling.read(row.answers)
        of = None if filling is None else self._shelf.instruments.get(filling.instrument)
        if row is None or filling is None or of is None:
            return None
        return Held(row.id, filling, of, row.begun, row.state == "done", self.ran_out(row))
