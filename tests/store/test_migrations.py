"""Every revision upgrades a database that has rows in it, and loses none."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from bot.sealing.master import FILE, MasterSource
from bot.store.base import Base
from bot.store.database import StoreError, migrate, open_database
from bot.store.migrating import Sealer
from bot.store.store import Store
from tests.store.house import Hands, bytes_in, open_store, talk, update, url_in

ROOT = Path(__file__).parents[2]
NOW = "'2026-03-01 00:00:00.000000'"
REVISIONS = [
    script.revision for script in ScriptDirectory(str(ROOT / "migrations")).walk_revisions()
][::-1]

# Rows as the code of each revision wrote them; NOW is replaced by a time.
ROWS: dict[str, list[str]] = {
    "0001": [
        "INSERT INTO persons VALUES (7, 'en', 'GB', 30, NOW), (8, 'de', NULL, NULL, NOW)",
        "INSERT INTO consents VALUES (1, 7, '1', NOW)",
        "INSERT INTO conversations VALUES (3, 7, 7, 2, NOW), (4, 8, 8, 0, NOW)",
        "INSERT INTO messages (id, conversation_id, role, text, created) "
        "VALUES (11, 3, 'user', 'kept words', NOW), (12, 4, 'user', 'others', NOW)",
        "INSERT INTO safety_decisions VALUES (1, 7, 2, 0.5, '{\"ids\": []}', 'v', NOW)",
        "INSERT INTO inbox VALUES (5, "
        """'{"update_id": 5, "message": {"chat": {"id": 7}, "from": {"id": 7}}}', 0, NOW)""",
    ],
    "0002": [
        "INSERT INTO outbox (turn, part, conversation_id, chat_id, epoch, state, text, created) "
        "VALUES ('5', 0, 3, 7, 0, 'generated', 'on its way', NOW)",
        "INSERT INTO check_ins (person_id, local_date, due, state, created) "
        "VALUES (7, '2026-03-01', NOW, 'sent', NOW)",
        "INSERT INTO admin_audit (admin_id, action, detail, created) VALUES (9, 'reload', '', NOW)",
    ],
    "0003": [],
    "0004": [
        "INSERT INTO conversations (person_id, chat_id, risk, created, opened) "
        "VALUES (7, 9, 0, NOW, NOW)",
    ],
    "0005": [
        "INSERT INTO follow_ups (person_id, chat_id, level, step, due, state, created) "
        "VALUES (7, 7, 3, 0, NOW, 'waiting', NOW)",
        "INSERT INTO hand_overs VALUES (7, '1', NOW, NULL, NULL)",
        "INSERT INTO disclosures VALUES (7, NOW, NOW, 60.0)",
    ],
    "0006": [
        "INSERT INTO bans VALUES ('tag', NULL, NOW)",
        "INSERT INTO invites VALUES ('tag', 3, NOW, NOW)",
        "INSERT INTO admitted VALUES (7, NOW)",
        "INSERT INTO used_buttons VALUES ('nonce', 5, NOW)",
        "INSERT INTO switches VALUES ('maintenance', 'off', NOW)",
        "INSERT INTO broadcasts (text, state, reached, sent, failed, created) "
        "VALUES ('old news', 'done', 7, 1, 0, NOW), ('fresh news', 'open', 7, 1, 0, NOW)",
    ],
    "0007": [],
    "0008": [
        "INSERT INTO questionnaires (person_id, state, answers, begun) "
        "VALUES (7, 'open', x'', NOW)",
    ],
    "0009": ["INSERT INTO risks VALUES (8, 8, 3)"],
}


def back(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


def counts(connection: Connection) -> dict[str, int]:
    tables = set(inspect(connection).get_table_names()) - {"alembic_version", "sqlite_sequence"}
    found = {}
    for table in tables:
        found[table] = int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608
    return found


@pytest.fixture
def old_database(tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, int]:
    """A database of an older revision, with rows; gives the number of its rows."""
    engine = create_engine(f"sqlite:///{tmp_path}/lanner.db")
    master = MasterSource(tmp_path / FILE).load(create=True)
    with engine.begin() as connection:
        for revision in REVISIONS[: REVISIONS.index(request.param) + 1]:
            migrate(connection, revision, Sealer(master))
            for statement in ROWS[revision]:
                connection.exec_driver_sql(statement.replace("NOW", NOW))
        found = counts(connection)
    engine.dispose()
    return found


def test_each_revision_has_rows_to_be_upgraded() -> None:
    assert list(ROWS) == REVISIONS


@pytest.mark.parametrize("old_database", REVISIONS, indirect=True)
async def test_no_row_is_lost_from_any_revision(
    old_database: dict[str, int], tmp_path: Path, clock: Hands
) -> None:
    assert sum(old_database.values()) > 0
    store = await open_store(tmp_path, clock)
    assert [m.text for m in await store.history(3)] == ["kept words"]
    assert (await store.person(7)).country == "GB"
    assert (await store.conversation(7, 7)).risk == 2
    assert await store.has_consented(7, "1")
    assert [u["update_id"] for u in await store.open_updates()] == [5]
    assert b"kept words" not in bytes_in(tmp_path)
    await store.close()
    engine = create_engine(f"sqlite:///{tmp_path}/lanner.db")
    with engine.connect() as connection:
        after = counts(connection)
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    engine.dispose()
    # A revision may seal under a key that it makes; every other table has the rows it had.
    assert after.pop("person_keys") >= old_database.pop("person_keys", 0)
    assert old_database.items() <= after.items()


@pytest.mark.parametrize("old_database", ["0006"], indirect=True)
async def test_a_broadcast_under_way_goes_on_sealed_and_one_that_is_over_is_emptied(
    old_database: dict[str, int], tmp_path: Path, clock: Hands
) -> None:
    assert old_database["broadcasts"] == 2
    store = await open_store(tmp_path, clock)
    under_way = await store.open_broadcast()
    assert under_way is not None
    assert (under_way.text, under_way.reached) == ("fresh news", 7)
    await store.close()
    assert b"news" not in bytes_in(tmp_path)


def test_the_risk_of_a_conversation_becomes_its_chats_and_goes_back(tmp_path: Path) -> None:
    """The open conversation's counts, the one that was opened last."""
    engine = create_engine(f"sqlite:///{tmp_path}/lanner.db")
    talks = ((3, 7, 3, "08:00"), (4, 7, 1, "09:00"), (5, 7, 0, "07:00"), (6, -100, 0, "06:00"))
    with engine.begin() as connection:
        migrate(connection, "0008")
        connection.exec_driver_sql(
            "INSERT INTO persons (id, language, created) VALUES (7, 'en', '2026-03-01 00:00:00')"
        )
        for number, chat, risk, opened in talks:
            connection.exec_driver_sql(
                "INSERT INTO conversations (id, person_id, chat_id, risk, created, opened) "
                "VALUES (?, 7, ?, ?, '2026-03-01 05:00:00', '2026-03-01 ' || ? || ':00')",
                (number, chat, risk, opened),
            )
        migrate(connection, "0009")
        assert connection.exec_driver_sql("SELECT * FROM risks").all() == [(7, 7, 1)]
        back(connection, "0008")
        held = connection.exec_driver_sql("SELECT id, risk FROM conversations ORDER BY id").all()
    engine.dispose()
    assert held == [(3, 1), (4, 1), (5, 1), (6, 0)]


@pytest.mark.parametrize("old_database", ["0001"], indirect=True)
async def test_an_upgraded_database_forgets_and_never_gives_an_id_twice(
    old_database: dict[str, int], tmp_path: Path, clock: Hands
) -> None:
    assert old_database
    store = await open_store(tmp_path, clock)
    assert await store.forget(8)
    assert await talk(store, 9) > 4
    # The update that waited through the upgrade is known as this person's.
    assert await store.forget(7)
    assert await store.open_updates() == []
    await store.close()


def test_the_migrations_make_exactly_the_tables_that_the_code_declares() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        migrate(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


async def test_ids_are_never_given_twice_in_the_migrated_tables(store: Store) -> None:
    async with store._sessions.read() as session:
        made = await session.scalars(
            text("SELECT sql FROM sqlite_master WHERE name IN "
                 "('conversations', 'messages', 'outbox', 'questionnaires')")
        )  # fmt: skip
        assert ["AUTOINCREMENT" in sql for sql in made] == [True, True, True, True]


async def test_opening_again_changes_nothing(store: Store, tmp_path: Path, clock: Hands) -> None:
    number = await talk(store, 1, "words")
    again = await open_store(tmp_path, clock)
    assert len(await again.history(number)) == 1
    await again.close()


async def test_two_that_start_at_once_migrate_once(tmp_path: Path, clock: Hands) -> None:
    stores = await asyncio.gather(*(open_store(tmp_path, clock) for _ in range(4)))
    assert await stores[0].receive([update(1)]) == [update(1)]
    assert await stores[3].receive([update(1)]) == []
    for store in stores:
        await store.close()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    """A table that is in the way stops revision 0002 half way."""
    engine = create_engine(f"sqlite:///{tmp_path}/lanner.db")
    with engine.begin() as connection:
        migrate(connection, "0001")
        connection.execute(text("CREATE TABLE outbox (x)"))
    engine.dispose()
    with pytest.raises(StoreError, match="migrated"):
        await open_database(url_in(tmp_path), tmp_path)
    with closing(sqlite3.connect(tmp_path / "lanner.db")) as left:
        tables = {row[0] for row in left.execute("SELECT name FROM sqlite_master")}
        assert left.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    assert "check_ins" not in tables


def _newer(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "lanner.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()


def _garbage(folder: Path) -> None:
    (folder / "lanner.db").write_bytes(b"this is not a database, it is a letter. " * 100)


def _folder(folder: Path) -> None:
    (folder / "lanner.db").mkdir()


def threads() -> set[str]:
    """Those that a database might leave behind: asyncio's own wait for other work."""
    return {t.name for t in threading.enumerate() if not t.name.startswith("asyncio_")}


@pytest.mark.parametrize(
    ("harm", "says"), [(_newer, "newer Lanner"), (_garbage, "damaged"), (_folder, "writable")]
)
async def test_a_database_that_cannot_be_used_gives_a_sentence_and_leaves_no_thread(
    tmp_path: Path, harm: Any, says: str
) -> None:
    harm(tmp_path)
    before = threads()
    with pytest.raises(StoreError, match=says) as refused:
        await open_database(url_in(tmp_path), tmp_path)
    assert "\n" not in str(refused.value)
    assert threads() == before


async def test_a_folder_that_cannot_be_made_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="writable"):
        await open_database(url_in(tmp_path / "file"), tmp_path / "file")


def test_the_revisions_are_one_line_and_need_no_code_of_today() -> None:
    assert sorted(REVISIONS) == REVISIONS
    for path in (ROOT / "migrations" / "versions").glob("*.py"):
        assert "bot." not in path.read_text("utf-8")
