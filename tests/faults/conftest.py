"""The PostgreSQL server of tests/postgres, for the faults too; and a house whose model echoes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.house import House
from tests.faults.people import Echo
from tests.postgres.conftest import clock as clock
from tests.postgres.conftest import server as server
from tests.postgres.conftest import url as url


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    house.model = Echo()
    await house.open()
    yield house
    await house.leave()
