"""A store on a real PostgreSQL server, in the place of the SQLite file of tests/store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.store.store import Store
from tests.postgres.server import MISSING, Server, find
from tests.store.house import URL_FILE, Hands, open_store


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    if find("initdb") is None:
        pytest.skip(MISSING)
    server = Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def url(server: Server, tmp_path: Path) -> str:
    """A fresh database; whoever opens the store of `tmp_path` gets it."""
    url = await server.database(ready=True)
    (tmp_path / URL_FILE).write_text(url)
    return url


@pytest.fixture
async def store(url: str, tmp_path: Path, clock: Hands) -> AsyncIterator[Store]:
    assert url
    store = await open_store(tmp_path, clock)
    yield store
    await store.close()
