"""Time: the clock that everything is handed, and a person's wall time as an instant.

Knows zones and their changes of clock; knows nothing of people, schedules or
the database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]
"""Gives the time now, in UTC and aware of it."""


def system_clock() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def instant(day: date, wall: time, zone: ZoneInfo) -> datetime | None:
    """When a clock on the wall in `zone` shows `wall` on `day`, in UTC.

    A time that the spring change skips comes later by what was skipped; one
    that the autumn change repeats is its first; a day that a zone leaves out
    whole (Samoa, 30 December 2011) has none.
    """
    meant = datetime.combine(day, wall.replace(fold=0, tzinfo=None))
    found = meant.replace(tzinfo=zone).astimezone(UTC)
    shown = found.astimezone(zone).replace(tzinfo=None)
    return None if shown - meant >= timedelta(days=1) else found
