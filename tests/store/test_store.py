"""The store on a real SQLite file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from bot.settings import Settings, example
from bot.store.database import StoreError, migrate, open_database
from bot.store.store import Store
from bot.store.tables import Base


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def store(tmp_path: Path, clock: Hands) -> AsyncIterator[Store]:
    engine, sessions = await open_database(f"sqlite+aiosqlite:///{tmp_path}/lanner.db", tmp_path)
    store = Store(engine, sessions, clock)
    yield store
    await store.close()


async def talk(store: Store, person: int, *words: str) -> int:
    await store.person(person)
    conversation = await store.conversation(person, person)
    for word in words:
        await store.add_message(conversation.id, "user", word)
    return conversation.id


async def test_hostile_text_is_stored_and_comes_back(store: Store) -> None:
    words = ["a\0b", "\u202eevil", "\u200b" * 9, "😀", "x" * 100_000]
    number = await talk(store, 1, *words, "\ud800 lone")
    assert [m.text for m in await store.history(number)] == [*words, "? lone"]


async def test_a_new_conversation_hides_the_old_one_and_keeps_it(store: Store) -> None:
    old = await talk(store, 1, "before")
    new = await store.conversation(1, 1, new=True)
    assert await store.history(new.id) == []
    assert len(await store.history(old)) == 1


async def test_nothing_of_a_forgotten_person_is_left_in_any_byte(
    store: Store, tmp_path: Path
) -> None:
    await talk(store, 1, "marker-7351 is my secret")
    kept = await talk(store, 2, "somebody else")
    await store.forget(1)
    left = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"marker-7351" not in left
    assert len(await store.history(kept)) == 1


async def test_retention_deletes_what_is_older_than_the_persons_setting(
    store: Store, clock: Hands
) -> None:
    strict, lax = await talk(store, 1, "a"), await talk(store, 2, "b")
    await store.set_person(1, retention_days=7)
    clock.now += timedelta(days=8)
    assert await store.retain(90) == 1
    assert (await store.history(strict), len(await store.history(lax))) == ([], 1)


async def test_an_update_received_twice_is_kept_once(store: Store) -> None:
    await store.receive([{"update_id": 5}, {"update_id": 6}])
    await store.receive([{"update_id": 5}])
    await store.finish_update(6)
    assert await store.open_updates() == [{"update_id": 5}]


async def test_consent_counts_only_for_the_version_that_was_read(store: Store) -> None:
    await store.person(1)
    await store.consent(1, "1")
    assert await store.has_consented(1, "1")
    assert not await store.has_consented(1, "2")


async def test_what_was_committed_survives_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, signal, sys\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "from bot.store.database import open_database\n"
        "from bot.store.store import Store\n"
        "async def main():\n"
        "    folder = Path(sys.argv[1])\n"
        "    opened = await open_database(f'sqlite+aiosqlite:///{folder}/lanner.db', folder)\n"
        "    store = Store(*opened, lambda: datetime.now(UTC))\n"
        "    await store.receive([{'update_id': 1}])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    engine, sessions = await open_database(f"sqlite+aiosqlite:///{tmp_path}/lanner.db", tmp_path)
    store = Store(engine, sessions, lambda: datetime.now(UTC))
    assert await store.open_updates() == [{"update_id": 1}]
    await store.close()


async def test_a_folder_that_cannot_be_used_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="writable"):
        await open_database("sqlite+aiosqlite:////nowhere/x.db", tmp_path / "file")


def test_the_migrations_make_exactly_the_tables_that_the_code_declares() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        migrate(connection)
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_the_example_file_names_every_option_and_is_current() -> None:
    written = (Path(__file__).parents[2] / ".env.example").read_text("utf-8")
    assert written == example()
    assert all(name.upper() in written for name in Settings.model_fields)
