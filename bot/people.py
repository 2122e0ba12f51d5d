"""A person's consent and settings, checked before they are stored.

    SettingRefused   a value that cannot be used; the sentence is for the person

Knows countries, zones and times; knows nothing of Telegram or of how a
setting is used.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import time
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import available_timezones

from bot.clock import Clock
from bot.store.store import Store

STREAMING = ("draft", "edit", "off")
NONE = ("none", "off", "-")
# Names that people write and the table of codes does not have.
ALSO = {
    **dict.fromkeys(
        ("UK", "UNITED KINGDOM", "GREAT BRITAIN", "ENGLAND", "SCOTLAND", "WALES"), "GB"
    ),
    **dict.fromkeys(("USA", "UNITED STATES OF AMERICA", "AMERICA"), "US"),
    "TÜRKIYE": "TR",
    "CZECHIA": "CZ",
    "HOLLAND": "NL",
    "SOUTH KOREA": "KR",
    "EL": "GR",
}


class SettingRefused(Exception):
    """The value cannot be used; the sentence says what can."""


@dataclass(frozen=True, slots=True)
class PersonSettings:
    """What holds for a person now. `retention_days` is what applies, chosen or not."""

    language: str
    country: str | None
    timezone: str | None
    retention_days: int
    streaming: str
    check_in_at: time | None


class PeopleService:
    """`languages` are those that the bot can speak."""

    def __init__(
        self, store: Store, clock: Clock, retention_days: int, languages: frozenset[str]
    ) -> None:
        self._store, self._clock = store, clock
        self._most_days, self.languages = retention_days, languages
        self._changes: dict[str, Callable[[int, str], Awaitable[dict[str, Any]]]] = {
            "language": self._language,
            "country": self._country,
            "zone": self._zone,
            "days": self._days,
            "streaming": self._streaming,
            "check-in": self._check_in,
        }

    async def consent(self, person_id: int, language: str, version: str) -> None:
        """The person read this version of the text and agreed; asked once more, once is kept."""
        await self._store.person(person_id, self._spoken(language) or "en")
        if not await self._store.has_consented(person_id, version):
            await self._store.consent(person_id, version)

    async def settings(self, person_id: int) -> PersonSettings:
        """What holds for the person now."""
        person = await self._store.person(person_id)
        days = min(person.retention_days or self._most_days, self._most_days)
        return PersonSettings(
            person.language,
            person.country,
            person.timezone,
            days,
            person.streaming,
            person.check_in_at,
        )

    async def retention(self, person_id: int) -> int:
        """Days that the person's messages are kept; asking makes nobody known."""
        person = await self._store.known_person(person_id)
        chosen = person.retention_days if person else None
        return min(chosen or self._most_days, self._most_days)

    async def change(self, person_id: int, name: str, value: str) -> PersonSettings:
        """Change one setting, by the words of a person; raises SettingRefused."""
        check = self._changes.get(name.strip().lower())
        if check is None:
            raise SettingRefused(f"I know these settings: {', '.join(self._changes)}.")
        await self._store.person(person_id)
        await self._store.set_person(person_id, **await check(person_id, value.strip()))
        return await self.settings(person_id)

    def _spoken(self, value: str) -> str | None:
        short = value.lower().replace("_", "-").split("-")[0]
        return short if short in self.languages else None

    async def _language(self, _person: int, value: str) -> dict[str, Any]:
        if spoken := self._spoken(value):
            return {"language": spoken}
        raise SettingRefused(f"I can speak: {', '.join(sorted(self.languages))}.")

    async def _country(self, _person: int, value: str) -> dict[str, Any]:
        if value.lower() in NONE:
            return {"country": None}
        if code := country_code(value):
            return {"country": code}
        raise SettingRefused(
            "I don't know that country: write its English name or two letters, GB."
        )

    async def _zone(self, _person: int, value: str) -> dict[str, Any]:
        since = self._clock()
        if value.lower() in NONE:
            return {"timezone": None, "check_in_at": None, "check_in_since": since}
        if found := zone_name(value):
            return {"timezone": found, "check_in_since": since}
        near = difflib.get_close_matches(_key(value), zones(), n=1, cutoff=0.7)
        hint = f"did you mean {zones()[near[0]]}?" if near else "write a place, as Europe/Berlin."
        raise SettingRefused(f"I don't know that time zone: {hint}")

    async def _days(self, _person: int, value: str) -> dict[str, Any]:
        if re.fullmatch(r"[0-9]{1,5}", value) and 1 <= int(value) <= self._most_days:
            return {"retention_days": int(value)}
        raise SettingRefused(f"I can keep messages for 1 to {self._most_days} days.")

    async def _streaming(self, _person: int, value: str) -> dict[str, Any]:
        if value.lower() in STREAMING:
            return {"streaming": value.lower()}
        raise SettingRefused(f"I can show my words while I write by: {', '.join(STREAMING)}.")

    async def _check_in(self, person: int, value: str) -> dict[str, Any]:
        if value.lower() in NONE:
            return {"check_in_at": None}
        if (await self._store.person(person)).timezone is None:
            raise SettingRefused("Tell me your time zone first, for example Europe/Berlin.")
        found = re.fullmatch(r"([0-9]{1,2})[:.h]([0-9]{2})", value)
        if found and int(found[1]) < 24 and int(found[2]) < 60:
            at = time(int(found[1]), int(found[2]))
            return {"check_in_at": at, "check_in_since": self._clock()}
        raise SettingRefused("Write the time as on a 24-hour clock, for example 09:30, or off.")


def country_code(value: str) -> str | None:
    """ISO 3166 alpha-2 of a code or an English name; None when there is no such country."""
    wanted = " ".join(value.split()).upper()
    return countries().get(ALSO.get(wanted, wanted))


def zone_name(value: str) -> str | None:
    """The IANA zone of a name in any case, or of a city that names one zone alone."""
    return zones().get(_key(value))


def zones_of(country: str | None, most: int = 12) -> list[str]:
    """A country's zones, the most peopled first as the table has them; none for too many."""
    rows = (line.split("\t") for line in _table("zone.tab"))
    found = [row[2] for row in rows if country and row[0] == country]
    return found if len(found) <= most else []


@cache
def countries() -> dict[str, str]:
    """Codes by code and by name, both in capitals."""
    found = {}
    for line in _table("iso3166.tab"):
        code, name = line.split("\t")
        found[code] = found[name.upper()] = code
    return found


@cache
def zones() -> dict[str, str]:
    """IANA zones by name and by city, as `_key` writes them."""
    names = {name for name in available_timezones() if name == "UTC" or "/" in name}
    names -= {name for name in names if name.startswith(("posix/", "right/"))}
    cities: dict[str, set[str]] = {}
    for line in _table("zone.tab"):
        name = line.split("\t")[2]
        cities.setdefault(_key(name.rsplit("/", 1)[1]), set()).add(name)
    alone = {city: found.pop() for city, found in cities.items() if len(found) == 1}
    return alone | {_key(name): name for name in names}


def _key(value: str) -> str:
    return "_".join(value.split()).casefold()


def _table(name: str) -> list[str]:
    text = files("tzdata").joinpath("zoneinfo", name).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
