"""kill -9 at random moments: nothing lost, nothing doubled, nothing out of order.

The short form of `make soak`, on the database that runs in the tests.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.soak import NOTHING_WRONG, kills_on_postgres, kills_on_sqlite


@pytest.mark.slow
async def test_a_killed_bot_on_sqlite_answers_every_update_once_and_in_order(
    tmp_path: Path,
) -> None:
    wrong, hands = await kills_on_sqlite(tmp_path, random.Random(5), updates=300, kills=6)
    assert wrong == NOTHING_WRONG
    assert hands > 1


@pytest.mark.slow
async def test_killed_bots_that_share_postgres_answer_every_update_once_and_in_order(
    url: str, tmp_path: Path
) -> None:
    wrong, hands = await kills_on_postgres(url, tmp_path, random.Random(6), updates=300, kills=6)
    assert wrong == NOTHING_WRONG
    assert hands > 1
