"""Settings are checked before they are stored, and a refusal says what can be written."""

from __future__ import annotations

from datetime import time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.people import PeopleService, SettingRefused, country_code, zone_name, zones
from bot.store.store import Store
from tests.store.house import Hands


@pytest.fixture
def people(store: Store, clock: Hands) -> PeopleService:
    return PeopleService(store, clock, 90, frozenset({"en", "de"}))


@pytest.mark.parametrize(
    ("name", "value", "field", "kept"),
    [
        ("country", "gb", "country", "GB"),
        ("country", "Germany", "country", "DE"),
        ("country", " United  Kingdom ", "country", "GB"),
        ("country", "none", "country", None),
        ("zone", "berlin", "timezone", "Europe/Berlin"),
        ("zone", "america/new_york", "timezone", "America/New_York"),
        ("zone", "New York", "timezone", "America/New_York"),
        ("days", "7", "retention_days", 7),
        ("streaming", "EDIT", "streaming", "edit"),
        ("language", "de-AT", "language", "de"),
        ("Language", "EN", "language", "en"),
    ],
)
async def test_a_setting_is_understood_as_people_write_it(
    people: PeopleService, name: str, value: str, field: str, kept: object
) -> None:
    assert getattr(await people.change(1, name, value), field) == kept
    assert getattr(await people.settings(1), field) == kept


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("country", "Atlantis", "two letters"),
        ("country", "", "two letters"),
        ("zone", "berlim", "Europe/Berlin"),
        ("zone", "../../etc/passwd", "Europe/Berlin"),
        ("zone", "\0", "Europe/Berlin"),
        ("days", "0", "1 to 90"),
        ("days", "91", "1 to 90"),
        ("days", "٣", "1 to 90"),
        ("days", "9" * 5000, "1 to 90"),
        ("streaming", "loud", "draft, edit, off"),
        ("language", "klingon", "de, en"),
        ("check-in", "09:30", "time zone first"),
        ("colour", "blue", "check-in"),
    ],
)
async def test_what_cannot_be_used_is_refused_with_what_can(
    people: PeopleService, name: str, value: str, says: str
) -> None:
    before = await people.settings(1)
    with pytest.raises(SettingRefused, match=says):
        await people.change(1, name, value)
    assert await people.settings(1) == before


@pytest.mark.parametrize("value", ["9:30", "09:30", "9.30", "09h30"])
async def test_a_check_in_counts_from_when_it_was_asked_for(
    people: PeopleService, store: Store, clock: Hands, value: str
) -> None:
    await people.change(1, "zone", "Berlin")
    clock.now += timedelta(hours=5)
    assert (await people.change(1, "check-in", value)).check_in_at == time(9, 30)
    (person,) = await store.people_to_check_in()
    assert person.check_in_since == clock.now
    assert (await people.change(1, "check-in", "off")).check_in_at is None
    assert await store.people_to_check_in() == []


@pytest.mark.parametrize("value", ["24:00", "9", "9:60", "soon", "009:30", "9:5"])
async def test_a_time_that_no_clock_shows_is_refused(people: PeopleService, value: str) -> None:
    await people.change(1, "zone", "Berlin")
    with pytest.raises(SettingRefused, match="24-hour"):
        await people.change(1, "check-in", value)


async def test_without_a_zone_there_is_no_check_in(people: PeopleService) -> None:
    await people.change(1, "zone", "Berlin")
    await people.change(1, "check-in", "9:30")
    assert (await people.change(1, "zone", "none")).check_in_at is None


async def test_consent_is_kept_once_for_each_version(people: PeopleService, store: Store) -> None:
    for version in ("1", "1", "2"):
        await people.consent(1, "de-DE", version)
    kept = (await store.export(1))["consents"]
    assert [consent["text_version"] for consent in kept] == ["1", "2"]
    assert (await people.settings(1)).language == "de"


async def test_an_unknown_language_falls_back_to_english(people: PeopleService) -> None:
    await people.consent(1, "tlh", "1")
    assert (await people.settings(1)).language == "en"


async def test_one_persons_setting_is_nobody_elses(people: PeopleService) -> None:
    await people.change(1, "days", "7")
    assert (await people.settings(2)).retention_days == 90


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_no_text_makes_a_zone_or_country_that_does_not_exist(text: str) -> None:
    zone, code = zone_name(text), country_code(text)
    assert zone is None or ZoneInfo(zone)
    assert code is None or len(code) == 2


def test_every_zone_that_can_be_named_can_be_opened() -> None:
    assert len({ZoneInfo(name) for name in zones().values()}) > 400
