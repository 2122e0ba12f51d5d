"""Wall time in a zone as an instant, over every change of the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import instant, system_clock
from bot.people import zones
from bot.schedule import GRACE, due

ZONES = sorted(set(zones().values()))
DAYS = st.dates(date(1995, 1, 1), date(2037, 12, 1))
WALLS = st.times().map(lambda t: t.replace(second=0, microsecond=0))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("zone", "day", "wall", "expected"),
    [
        ("Europe/Berlin", date(2026, 1, 5), time(9), utc(2026, 1, 5, 8)),
        ("Europe/Berlin", date(2026, 7, 5), time(9), utc(2026, 7, 5, 7)),
        # Skipped in spring: 02:30 comes as 03:30 summer time.
        ("Europe/Berlin", date(2026, 3, 29), time(2, 30), utc(2026, 3, 29, 1, 30)),
        ("America/New_York", date(2026, 3, 8), time(2, 30), utc(2026, 3, 8, 7, 30)),
        # Twice in autumn: the first counts.
        ("Europe/Berlin", date(2026, 10, 25), time(2, 30), utc(2026, 10, 25, 0, 30)),
        ("America/New_York", date(2026, 11, 1), time(1, 30), utc(2026, 11, 1, 5, 30)),
        # Half an hour of difference.
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), utc(2026, 10, 3, 15, 45)),
        # The skipped hour ends the day: it comes shortly after midnight.
        ("America/Nuuk", date(2026, 3, 28), time(23, 30), utc(2026, 3, 29, 1, 30)),
        ("Asia/Kathmandu", date(2026, 5, 1), time(9), utc(2026, 5, 1, 3, 15)),
        # Samoa went over the date line and had no 30 December.
        ("Pacific/Apia", date(2011, 12, 30), time(9), None),
        ("Pacific/Apia", date(2011, 12, 31), time(9), utc(2011, 12, 30, 19)),
    ],
)
def test_wall_time_becomes_the_right_instant(
    zone: str, day: date, wall: time, expected: datetime | None
) -> None:
    assert instant(day, wall, ZoneInfo(zone)) == expected


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ZONES), DAYS, WALLS)
def test_a_time_that_exists_is_shown_by_the_wall_and_one_that_does_not_comes_later(
    zone: str, day: date, wall: time
) -> None:
    found = instant(day, wall, ZoneInfo(zone))
    meant = datetime.combine(day, wall)
    if found is None:
        return
    shown = found.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert timedelta() <= shown - meant < timedelta(days=1)
    # It is the first moment at which the wall shows it: an hour before, it does not.
    before = (found - timedelta(hours=1)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert before != meant


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ZONES), DAYS, WALLS)
def test_each_day_comes_after_the_day_before(zone: str, day: date, wall: time) -> None:
    days = [instant(day + timedelta(days=n), wall, ZoneInfo(zone)) for n in range(4)]
    real = [at for at in days if at is not None]
    assert len(real) >= 3
    assert real == sorted(set(real))


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(ZONES),
    DAYS,
    WALLS,
    st.lists(st.integers(1, 90), min_size=120, max_size=160),
)
def test_however_the_ticks_fall_each_local_date_fires_once(
    zone: str, day: date, wall: time, gaps: list[int]
) -> None:
    """Ticks are at most 90 minutes apart, so that none is missed by more than GRACE."""
    place = ZoneInfo(zone)
    now = start = datetime.combine(day, time(), UTC)
    fired: dict[date, datetime] = {}
    for gap in gaps:
        now += timedelta(minutes=gap)
        found = due(now, wall, place, start)
        if found and found[0] not in fired:
            fired[found[0]] = found[1]
    wanted = {}
    for ahead in range(-2, (now - start).days + 3):
        at = instant(day + timedelta(days=ahead), wall, place)
        if at is not None and start <= at <= now - timedelta(minutes=90):
            wanted[day + timedelta(days=ahead)] = at
    assert wanted.items() <= fired.items()
    assert all(start <= at <= now for at in fired.values())
    assert len(set(fired.values())) == len(fired)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ZONES), st.datetimes(datetime(1995, 1, 1), datetime(2037, 1, 1)), WALLS)
def test_what_is_due_is_never_early_and_never_too_late(
    zone: str, naive: datetime, wall: time
) -> None:
    now = naive.replace(tzinfo=UTC)
    found = due(now, wall, ZoneInfo(zone), None)
    if found is not None:
        assert found[1] <= now < found[1] + GRACE


def test_the_systems_clock_is_aware_and_in_utc() -> None:
    assert system_clock().utcoffset() == timedelta()
