"""Crisis lines by country, from a checked table.

Shows no row of low confidence and claims no hours that the table does not
give. Knows nothing of messages or risk levels.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from bot.safety.files import data_text

DIRECTORY = "https://findahelpline.com"
TRUSTED_MONTHS = 12  # a line that nobody checked for longer is not shown


@dataclass(frozen=True, slots=True)
class CrisisLine:
    """One row that may be shown. Blank strings mean that it is not known."""

    country: str
    name: str
    phone: str
    sms: str
    chat: str
    hours: str
    languages: tuple[str, ...]
    checked: str

    def fresh(self, today: date, months: int = TRUSTED_MONTHS) -> bool:
        """Whether somebody checked it lately enough to show it as it stands."""
        return _months_since(self.checked, today) <= months


@dataclass(frozen=True, slots=True)
class Country:
    """A country's name, emergency number and lines, best first."""

    code: str
    name: str
    emergency: str
    lines: tuple[CrisisLine, ...]


class CrisisLines:
    """The whole table."""

    def __init__(self, countries: Mapping[str, Country]) -> None:
        self._countries = dict(countries)

    @classmethod
    def load(cls) -> CrisisLines:
        """Read the table that is shipped with this package."""
        found: dict[str, Country] = {}
        for row in csv.DictReader(io.StringIO(data_text("crisis_lines.csv"))):
            code = row["country_iso2"]
            old = found.get(code) or Country(code, row["country"], row["emergency_number"], ())
            lines = old.lines if row["confidence"] == "low" else (*old.lines, _line(row))
            found[code] = Country(code, old.name, old.emergency, lines)
        return cls(found)

    def country(self, code: str | None) -> Country | None:
        """The country by ISO 3166 alpha-2, any case; None when not in the table."""
        return self._countries.get((code or "").strip().upper())

    def countries(self) -> tuple[Country, ...]:
        """All of them, in the order of the table."""
        return tuple(self._countries.values())

    def stale(self, today: date, months: int = TRUSTED_MONTHS) -> tuple[CrisisLine, ...]:
        """Lines checked longer ago than `months`: for an operator to check again."""
        lines = [line for country in self.countries() for line in country.lines]
        return tuple(line for line in lines if not line.fresh(today, months))


def describe(line: CrisisLine, words: Mapping[str, str]) -> str:
    """`Name: phone (hours)`; `words` are the reply language's small words."""
    ways = []
    if line.phone:
        ways.append(line.phone)
    if line.sms:
        ways.append(words["text"].format(sms=line.sms))
    if line.chat:
        ways.append(line.chat)
    hours = words["always"] if line.hours == "24/7" else line.hours or words["hours_unknown"]
    return f"{line.name}: {' · '.join(ways)} ({hours})"


def _line(row: Mapping[str, str]) -> CrisisLine:
    return CrisisLine(
        country=row["country_iso2"],
        name=row["name"],
        phone=row["phone"],
        sms=row["text_sms"],
        chat=row["chat_url"],
        hours=row["hours"],
        languages=tuple(part.strip() for part in row["languages"].split(";")),
        checked=row["checked"],
    )


def _months_since(checked: str, today: date) -> int:
    year, month = checked.split("-")[:2]
    return (today.year - int(year)) * 12 + today.month - int(month)


def rows(country: str) -> tuple[CrisisLine, ...]:
    """Lines of a country that may be shown; none when it is not in the table."""
    found = CrisisLines.load().country(country)
    return found.lines if found is not None else ()
