"""What a person sees of a questionnaire: words from the reviewed file, and buttons as plain data.

Knows how a question and a result read; knows nothing of where they are kept or
of Telegram.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.questionnaires.filling import Filling
from bot.questionnaires.instruments import Instrument, Shelf
from bot.safety.lines import DIRECTORY

Rows = list[list[tuple[str, str]]]
WORD = "questionnaire"  # the first word of each button's data
AGAIN = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class View:
    """A message with its buttons. `fresh`: one of its own, not in place of the pressed one."""

    text: str
    rows: Rows
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """A questionnaire that was answered to its end."""

    number: int
    filling: Filling
    instrument: Instrument
    begun: datetime


class Views:
    """Puts texts and buttons together."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._texts = shelf, shelf.texts

    def plain(self, key: str, *, fresh: bool = False, **names: object) -> View:
        """A text without buttons."""
        return View(self._texts[key].format(**names), [], fresh)

    def words(self, key: str) -> str:
        """A text as it stands."""
        return self._texts[key]

    def question(self, number: int, filling: Filling, of: Instrument) -> View:
        """The question that is asked now."""
        item = len(filling.answers)
        text = self._at("question", filling, of, stem=of.stem, item=of.items[item])
        rows = [
            [(f"{value} · {label}", f"{WORD}:answer:{number}:{item}:{value}")]
            for value, label in enumerate(of.answers)
        ]
        back = [("‹ Back", f"{WORD}:back:{number}:{item}")] if item else []
        return View(text, [*rows, [*back, ("Cancel", f"{WORD}:end:{number}")]])

    def menu(self, number: int, filling: Filling | None, of: Instrument | None) -> View:
        """What there is, and what waits."""
        text, rows = self._texts["menu"], list[list[tuple[str, str]]]()
        if filling is not None and of is not None:
            text += "\n\n" + self._at("waiting", filling, of)
            rows += self._waiting(number, of)
        for each in self._shelf.instruments.values():
            rows.append([(f"{each.name}: {each.about}", f"{WORD}:choose:{each.key}")])
        return View(text, [*rows, [("My results", f"{WORD}:results")]])

    def in_between(self, number: int, filling: Filling, of: Instrument) -> View:
        """Said once after other talk."""
        return View(self._at("in_between", filling, of), self._waiting(number, of), fresh=True)

    def other_open(self, number: int, filling: Filling, of: Instrument, other: Instrument) -> View:
        """Another one was chosen while this one waits."""
        begin = (f"End it and begin {other.name}", f"{WORD}:anew:{number}:{other.key}")
        rows = [[(f"Go on with {of.name}", f"{WORD}:on:{number}")], [begin]]
        return View(self._at("other_open", filling, of, other=other.name), rows)

    def answered(self, found: Result) -> View:
        """In place of the result where an answer was danger: the crisis reply comes first."""
        text = self._texts["answered"].format(name=found.instrument.name)
        return View(text, [[("Show my result", f"{WORD}:result:{found.number}")]])

    def result(self, found: Result, before: Result | None, days: int, *, danger: bool) -> View:
        """The number, its band, what it means and does not, and the one before it."""
        of, texts = found.instrument, self._texts
        parts = [texts["result"].format(**_figures(found))]
        if danger:
            parts.append(texts["danger"].format(url=DIRECTORY))
        parts += [of.means, of.means_not]
        if found.filling.score >= of.doctor_from:
            parts.append(texts["doctor"])
        if before is not None:
            parts.append(self._compared(found.filling.score, before))
        parts.append(texts["again"].format(date=_day(found.begun + AGAIN)))
        parts.append(texts["kept"].format(days=days))
        bands = ", ".join(f"{each.low} to {each.high} {each.name}" for each in of.bands)
        parts.append(f"{texts['bands'].format(bands=bands)} {of.source}")
        return View("\n\n".join(parts), [])

    def results(self, found: list[Result]) -> View:
        """All that are kept, the newest first."""
        if not found:
            return self.plain("no_results")
        lines = [self._texts["line"].format(**_figures(each)) for each in found]
        rows = [
            [
                (
                    f"{each.instrument.name}, {_day(each.begun)}: {each.filling.score}",
                    f"{WORD}:result:{each.number}",
                )
            ]
            for each in found
        ]
        return View("\n".join([self._texts["results"], "", *lines]), rows)

    def _compared(self, score: int, before: Result) -> str:
        difference = score - before.filling.score
        key = "before_more" if difference > 0 else "before_less" if difference else "before_same"
        return self._texts[key].format(**_figures(before), difference=abs(difference))

    def _waiting(self, number: int, of: Instrument) -> Rows:
        return [
            [(f"Go on with {of.name}", f"{WORD}:on:{number}"), ("End it", f"{WORD}:end:{number}")]
        ]

    def _at(self, key: str, filling: Filling, of: Instrument, **more: str) -> str:
        number, count = len(filling.answers) + 1, len(of.items)
        return self._texts[key].format(name=of.name, number=number, count=count, **more)


def _figures(found: Result) -> dict[str, object]:
    of, score = found.instrument, found.filling.score
    band = of.band(score)
    return {
        "name": of.name, "score": score, "most": of.most, "band": band.name, "low": band.low,
        "high": band.high, "date": _day(found.begun),
    }  # fmt: skip


def _day(when: datetime) -> str:
    return f"{when.day} {when:%B %Y}"
