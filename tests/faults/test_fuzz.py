"""Whatever comes as an update: no worker ends, people are answered, and no log says a word of it.

The short form; `python -m tests.faults.soak --fuzz` draws many more.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import text
from telegram import Update

from bot.logs import install
from bot.webhook import HEADER, PATH
from tests.bot.house import House
from tests.bot.test_webhook import free_port
from tests.faults.hostile import CANARY, batches, kinds

REPLY = "I hear you. Tell me more."
SECRET = "a-secret-of-the-webhook"
# Set by the soak: so many batches, drawn anew, instead of the same few each time.
MANY = int(os.environ.get("LANNER_FUZZ_BATCHES", "0"))
SHORT = settings(
    max_examples=MANY or 3,
    derandomize=not MANY,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Poured:
    """A house into which updates are poured as Telegram would send them, in numbers of its own."""

    def __init__(self, house: House, log: io.StringIO) -> None:
        self.house, self.log = house, log
        self.numbers: list[int] = []
        self.count = itertools.count(1)

    async def in_the_poll(self, batch: list[Any]) -> None:
        """As results of getUpdates, in one answer."""
        telegram = self.house.world.updates
        for each in batch:
            number = next(telegram._numbers)
            update = {"update_id": number, **each} if isinstance(each, dict) else each
            if isinstance(update, dict) and update["update_id"] == number:
                self.numbers.append(number)
            telegram.waiting[number] = update
        telegram.wake()

    async def in_webhook_calls(self, batch: list[Any]) -> Counter[int]:
        """As bodies, one a call; how often each status was answered."""
        codes: Counter[int] = Counter()
        port = self.house.lanner.settings.lanner_webhook_port
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            for each in batch:
                number = 10**6 + next(self.count)
                update = {"update_id": number, **each} if isinstance(each, dict) else each
                answer = await client.post(
                    f"http://127.0.0.1:{port}{PATH}",
                    content=json.dumps(update).encode(), headers={HEADER: SECRET},
                )  # fmt: skip
                codes[answer.status_code] += 1
                if answer.status_code == 200:
                    self.numbers.append(number)
        return codes

    async def ends(self) -> Counter[str]:
        """What became of the updates that were poured in, once all is quiet."""
        await self.house.settled()
        async with self.house.lanner.store.sessions.read() as session:
            found = await session.execute(text("SELECT update_id, state FROM inbox"))
        rows: dict[int, str] = {row.update_id: row.state for row in found}
        return Counter(rows.get(number, "missing") for number in self.numbers)

    async def still_answers(self) -> None:
        """Somebody else is talked with as ever, and what was poured in was brought to an end."""
        before = self.house.bot_says("calm").count(REPLY)
        self.house.world.say("calm", "hello")
        await self.house.heard(REPLY, before, "calm")
        ends = await self.ends()
        assert set(ends) <= {"done", "quarantined"}, ends
        assert not self.house.run.done()
        assert CANARY not in self.log.getvalue()
        assert "Traceback" not in self.log.getvalue()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    install("INFO", structlog.processors.JSONRenderer(), stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
async def poured(tmp_path: Path, log: io.StringIO) -> AsyncIterator[Poured]:
    house = House(tmp_path)
    await house.open()
    house.lanner.inbox._again_s = 0.0
    await house.agree("calm")
    yield Poured(house, log)
    await house.leave()


@pytest.fixture
async def hooked(tmp_path: Path, log: io.StringIO) -> AsyncIterator[Poured]:
    port = free_port()
    house = House(tmp_path)
    await house.open(
        lanner_webhook_url=f"http://127.0.0.1:{port}", lanner_webhook_secret=SECRET,
        lanner_webhook_port=port,
    )  # fmt: skip
    house.lanner.inbox._again_s = 0.0
    await house.agree("calm")
    yield Poured(house, log)
    await house.leave()


def test_every_kind_of_update_that_the_library_knows_is_drawn() -> None:
    assert set(kinds()) == {str(kind) for kind in Update.ALL_TYPES}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@SHORT
@given(batches())
async def test_no_update_that_is_polled_ends_a_worker_or_reaches_the_log(
    poured: Poured, batch: list[Any]
) -> None:
    await poured.in_the_poll(batch)
    await poured.still_answers()


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@SHORT
@given(batches())
async def test_no_body_that_a_webhook_is_sent_ends_a_worker_or_reaches_the_log(
    hooked: Poured, batch: list[Any]
) -> None:
    codes = await hooked.in_webhook_calls(batch)
    assert set(codes) <= {200, 400}
    await hooked.still_answers()
