"""The store's own tests, on PostgreSQL: the same code keeps the same promises there.

Taken over are those that ask for the `store` fixture, which here is PostgreSQL's.
"""

from __future__ import annotations

import inspect

from tests.store import (
    test_inbox,
    test_outbox,
    test_people,
    test_privacy,
    test_questionnaires,
    test_schedule,
    test_sealing,
    test_store,
)
from tests.store.test_people import people as people
from tests.store.test_privacy import privacy as privacy
from tests.store.test_schedule import schedule as schedule
from tests.store.test_schedule import sender as sender

THEMES = (
    test_inbox, test_outbox, test_people, test_privacy, test_questionnaires, test_schedule,
    test_sealing, test_store,
)  # fmt: skip
# About a file and its log; PostgreSQL's files have tests of their own.
SQLITE = {
    "test_nothing_of_a_forgotten_person_is_left_in_any_byte",
    "test_housekeeping_keeps_what_is_open_and_drops_what_has_served",
    "test_the_days_compaction_leaves_no_trace_of_old_messages",
    "test_a_reader_in_the_way_is_told_and_the_next_compaction_ends_it",
}
TAKEN = {
    name: test
    for theme in THEMES
    for name, test in vars(theme).items()
    if name.startswith("test_")
    and name not in SQLITE
    and "store" in inspect.signature(test).parameters
}
globals().update(TAKEN)


def test_the_themes_brought_their_tests() -> None:
    assert len(TAKEN) > 40
