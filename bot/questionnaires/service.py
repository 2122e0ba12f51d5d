"""A person goes through a questionnaire: begin, answer, go back, go on, end, look at results.

State is in the store after every step, so that a restart forgets nothing. Knows
when a questionnaire waits (an operator writes, or danger comes first); knows
nothing of Telegram or of what is done about an answer that is danger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.clock import Clock
from bot.people import PeopleService
from bot.questionnaires.filling import Answer, Filling, Outcome
from bot.questionnaires.instruments import Instrument, Shelf
from bot.questionnaires.sittings import Held, Sittings
from bot.questionnaires.views import View, Views
from bot.safety.types import Level
from bot.store.store import Store
from bot.store.tables import Sitting

SHOWN = 10
# A word for each answer that is not taken, by the text's name in the reviewed file.
REFUSED = {Outcome.NOTED: "noted", Outcome.LATE: "out_of_order", Outcome.EARLY: "not_yet"}


@dataclass(frozen=True, slots=True)
class Step:
    """What to show: a message, a short word for a pressed button. `danger`: the answer is."""

    view: View | None = None
    word: str | None = None
    danger: bool = False


class Questionnaires:
    """One for all people. Each step may be repeated: what was done stays as it is."""

    def __init__(
        self, store: Store, clock: Clock, people: PeopleService, shelf: Shelf | None = None
    ) -> None:
        self._shelf = shelf or Shelf.load()
        self._store, self._people = store, people
        self._sittings, self._views = Sittings(store, clock, self._shelf), Views(self._shelf)

    async def menu(self, person: int) -> View:
        """What there is, what waits, and that something has run out."""
        row, held = await self._sittings.newest(person)
        if row is not None and self._sittings.ran_out(row):
            await self._sittings.drop(person, row.id)
            shown = self._views.menu(0, None, None)
            return replace(shown, text=f"{self._views.words('expired')}\n\n{shown.text}")
        if held is None or not held.open:
            return self._views.menu(0, None, None)
        # A bare "2" after a list may mean its second line.
        await self._sittings.keep(person, held, replace(held.filling, paused=True))
        return self._views.menu(held.number, held.filling, held.instrument)

    async def named(self, person: int, name: str) -> View:
        """One by the name that a person wrote, PHQ-9 or phq9; the menu for any other."""
        key = "".join(each for each in name.casefold() if each.isalnum())
        known = key in self._shelf.instruments
        return await (self.choose(person, key) if known else self.menu(person))

    async def choose(self, person: int, key: str) -> View:
        """Begin one; where one is open, go on with it or ask which."""
        wanted = self._shelf.instruments.get(key)
        if wanted is None:
            return self._views.plain("over")
        if wait := await self._waits(person):
            return wait
        _, held = await self._sittings.newest(person)
        if held is None or not held.open:
            number, filling = await self._sittings.begin(person, wanted)
            return self._views.question(number, filling, wanted)
        if held.instrument == wanted:
            return await self._go_on(person, held, held.filling)
        return self._views.other_open(held.number, held.filling, held.instrument, wanted)

    async def anew(self, person: int, number: int, key: str) -> View:
        """End the open one with this number and begin another; once, however often pressed."""
        if wait := await self._waits(person):
            return wait
        await self._sittings.drop(person, number)
        return await self.choose(person, key)

    async def go_on(self, person: int, number: int) -> View:
        """The question that waits."""
        return await self._with(person, number, lambda held: held.filling)

    async def back(self, person: int, number: int, item: int) -> View:
        """To the question before this one."""
        return await self._with(person, number, lambda held: held.filling.back(item))

    async def pressed(self, person: int, number: int, item: int, answer: Answer) -> Step:
        """A button under a question."""
        if wait := await self._waits(person):
            return Step(wait)
        row, held = await self._sittings.numbered(person, number)
        if held is None or held.ran_out:
            return Step(self._gone(row))
        if answer.value not in range(len(held.instrument.answers)):
            return Step(word=self._views.words("not_yet"))
        return await self._answer(person, held, item, answer)

    def may_answer(self, words: str) -> bool:
        """Whether words could be an answer to any question."""
        return self._shelf.may_answer(words)

    async def typed(self, person: int, words: str, update: int, message: int) -> Step | None:
        """Words that are nothing but an answer to the question just asked; None for others.

        `may_answer` says without the database which words cannot be one.
        """
        _, held = await self._sittings.newest(person)
        value = None if held is None else held.instrument.value_of(words)
        if held is None or value is None or await self._waits(person):
            return None
        repeated = held.filling.by(update) is not None
        if not repeated and not await self._sittings.asked_last(person, held):
            return None
        step = await self._answer(person, held, None, Answer(value, update, message))
        return replace(step, view=replace(step.view, fresh=True) if step.view else None)

    async def was_answer(self, person: int, message: int) -> View | None:
        """For an edited message that was taken as an answer: that this changes nothing."""
        _, held = await self._sittings.newest(person)
        typed = held is not None and held.filling.typed_in(message)
        return self._views.plain("edited", fresh=True) if typed else None

    async def pause(self, person: int) -> View | None:
        """Something else was said: bare words are no answers now. Says so the first time."""
        _, held = await self._sittings.newest(person)
        if held is None or not held.open or held.filling.paused:
            return None
        await self._sittings.keep(person, held, replace(held.filling, paused=True))
        return self._views.in_between(held.number, held.filling, held.instrument)

    async def end(self, person: int, number: int | None = None) -> View:
        """End the open one, or the one with this number, and delete its answers."""
        row, held = await (
            self._sittings.newest(person)
            if number is None
            else self._sittings.numbered(person, number)
        )
        if row is None or not await self._sittings.drop(person, row.id):
            return self._views.plain("nothing_open" if number is None else "over")
        if held is None or not held.open:
            return self._gone(row)
        return self._views.plain("cancelled", name=held.instrument.name)

    async def results(self, person: int) -> View:
        """Those that are kept."""
        found = await self._sittings.done(person, SHOWN)
        return self._views.results([each.result for each in found])

    async def result(self, person: int, number: int) -> View:
        """One of them, in a message of its own."""
        if wait := await self._waits(person):
            return wait
        row, held = await self._sittings.numbered(person, number)
        if held is None or not held.done:
            return self._gone(row)
        return replace(await self._result(person, held), fresh=True)

    async def _answer(self, person: int, held: Held, item: int | None, answer: Answer) -> Step:
        of = held.instrument
        outcome, filling = held.filling.answered(item, answer, len(of.items))
        if outcome is Outcome.TAKEN and not await self._sittings.keep(person, held, filling):
            return Step(self._views.plain("over"))
        if outcome in REFUSED and held.done:
            return Step(word=self._views.words("finished"))
        if outcome in REFUSED:
            shown = self._views.question(held.number, filling, of)
            return Step(shown, self._views.words(REFUSED[outcome]))
        at = filling.by(answer.update)
        danger = at is not None and of.is_danger(at, filling.answers[at].value)
        return Step(await self._next(person, held.number, filling, of), danger=danger)

    async def _next(self, person: int, number: int, filling: Filling, of: Instrument) -> View:
        """The next question, or how it ended."""
        if len(filling.answers) < len(of.items):
            return self._views.question(number, filling, of)
        row, held = await self._sittings.numbered(person, number)
        if held is None:
            return self._gone(row)
        if held.has_danger:
            return self._views.answered(held.result)
        return await self._result(person, held)

    async def _result(self, person: int, held: Held) -> View:
        earlier = (
            each.result
            for each in await self._sittings.done(person, SHOWN)
            if each.number < held.number and each.instrument == held.instrument
        )
        days = await self._people.retention(person)
        before = next(earlier, None)
        return self._views.result(held.result, before, days, danger=held.has_danger)

    async def _with(
        self, person: int, number: int, change: Callable[[Held], Filling]
    ) -> View:  # fmt: skip
        """The question that is asked now, after a change."""
        if wait := await self._waits(person):
            return wait
        row, held = await self._sittings.numbered(person, number)
        if held is None or not held.open:
            return self._gone(row)
        return await self._go_on(person, held, change(held))

    async def _go_on(self, person: int, held: Held, filling: Filling) -> View:
        filling = replace(filling, paused=False)
        if not await self._sittings.keep(person, held, filling):
            return self._views.plain("over")
        return self._views.question(held.number, filling, held.instrument)

    async def _waits(self, person: int) -> View | None:
        """Why no question is asked now, if there is a reason."""
        if await self._store.operator_of(person) is not None:
            return self._views.plain("operator", fresh=True)
        talk = await self._store.conversation(person, person)
        if talk.risk >= Level.IMMINENT:
            return self._views.plain("safety_first", fresh=True)
        return None

    def _gone(self, row: Sitting | None) -> View:
        return self._views.plain("expired" if self._sittings.ran_out(row) else "over")
