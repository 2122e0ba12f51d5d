"""The same revisions on PostgreSQL, with rows in them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from bot.sealing.master import FILE, MasterSource
from bot.store.base import Base
from bot.store.database import StoreError
from bot.store.migrating import Sealer, migrate
from tests.postgres.server import Server
from tests.store.house import URL_FILE, Hands, open_store, talk
from tests.store.test_migrations import NOW, REVISIONS, ROWS


def _old(connection: Connection, folder: Path, newest: str) -> None:
    master = MasterSource(folder / FILE).load(create=True)
    for revision in REVISIONS[: REVISIONS.index(newest) + 1]:
        migrate(connection, revision, Sealer(master))
        for statement in ROWS[revision]:
            connection.exec_driver_sql(statement.replace("NOW", NOW))
    # The rows above named their ids, which leaves the sequences behind.
    for table in ("conversations", "messages"):
        last = f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"  # noqa: S608
        connection.exec_driver_sql(last)


@pytest.mark.parametrize("newest", ["0001", "0002", "0006"])
async def test_no_row_is_lost_and_every_word_is_sealed(
    server: Server, tmp_path: Path, clock: Hands, newest: str
) -> None:
    url = await server.database()
    (tmp_path / URL_FILE).write_text(url)
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(_old, tmp_path, newest)
    await engine.dispose()
    store = await open_store(tmp_path, clock)
    assert [m.text for m in await store.history(3)] == ["kept words"]
    assert (await store.person(7)).country == "GB"
    assert [u["update_id"] for u in await store.open_updates()] == [5]
    assert await talk(store, 9) > 4
    assert await store.forget(7)
    assert await store.open_updates() == []
    await store.close()


async def test_the_revisions_make_exactly_the_tables_that_the_code_declares(
    server: Server,
) -> None:
    def difference(connection: Connection) -> list[object]:
        migrate(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    engine = create_async_engine(await server.database())
    async with engine.begin() as connection:
        assert await connection.run_sync(difference) == []
    await engine.dispose()


async def test_processes_that_start_at_once_migrate_once(
    server: Server, tmp_path: Path, clock: Hands
) -> None:
    (tmp_path / URL_FILE).write_text(await server.database())
    stores = await asyncio.gather(*(open_store(tmp_path, clock) for _ in range(3)))
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    ("harm", "says"), [("/lanner_none?", "refused"), ("/lanner_ready?port=1&", "cannot be reached")]
)
async def test_a_server_that_does_not_serve_gives_a_sentence_without_the_password(
    url: str, tmp_path: Path, clock: Hands, harm: str, says: str
) -> None:
    wrong = url.replace("postgres@", "postgres:hunter2@").replace("/lanner_ready?", harm)
    (tmp_path / URL_FILE).write_text(wrong)
    with pytest.raises(StoreError, match=says) as refused:
        await open_store(tmp_path, clock)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)
