"""A backup brings everything back, on either database, but nobody who was erased since."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.backup import make, restore
from bot.backups.frames import BackupError
from bot.backups.keys_copy import NAME, forgetting
from bot.backups.making import make_backup
from bot.sealing.master import FILE
from bot.settings import Settings
from bot.store.store import Store
from tests.postgres.server import Server
from tests.store.house import URL_FILE, Hands, bytes_in, open_store, talk, url_in
from tests.store.test_privacy import ids_left, live

ROOT = Path(__file__).parents[2]
MARKER = "marker-2209"


def settings(folder: Path, backups: Path) -> Settings:
    return Settings(
        lanner_data_dir=folder,
        lanner_database_url=url_in(folder),
        lanner_backup_dir=backups,
        lanner_master_key_file=backups.parent / "home" / FILE,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
async def store(home: Path, clock: Hands) -> AsyncIterator[Store]:
    store = await open_store(home, clock)
    yield store
    await store.close()


@pytest.fixture
async def elsewhere(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """An empty home on the database that the test names."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    if request.param == "postgres":
        server: Server = request.getfixturevalue("server")
        (folder / URL_FILE).write_text(await server.database())
    return folder


async def again(folder: Path, home: Path, clock: Hands) -> Store:
    (folder / FILE).write_text((home / FILE).read_text("ascii"), "ascii")
    return await open_store(folder, clock)


@pytest.mark.parametrize("elsewhere", ["sqlite", "postgres"], indirect=True)
async def test_everything_comes_back_on_either_database(
    store: Store, home: Path, elsewhere: Path, clock: Hands, tmp_path: Path
) -> None:
    number = await live(store, clock, 90210417, MARKER)
    await live(store, clock, 2, "somebody else")
    before = {person: await store.export(person) for person in (90210417, 2)}
    path = await make_backup(store.sessions, tmp_path / "backups", clock)
    await store.close()
    assert "Restored" in await restore(settings(elsewhere, path.parent), path, None)
    there = await again(elsewhere, home, clock)
    assert {person: await there.export(person) for person in (90210417, 2)} == before
    assert (await there.open_updates()) != []
    assert await talk(there, 3) > number
    await there.close()


@pytest.mark.parametrize("elsewhere", ["sqlite", "postgres"], indirect=True)
async def test_who_was_erased_stays_erased_in_every_old_backup(
    store: Store, home: Path, elsewhere: Path, clock: Hands, tmp_path: Path
) -> None:
    person, backups = 90210417, tmp_path / "backups"
    await live(store, clock, person, MARKER)
    kept = await live(store, clock, 2, "somebody else")
    old = await make_backup(store.sessions, backups, clock)
    store.when_forgotten = forgetting(store.sessions, backups)
    await store.forget(person)
    said = await restore(settings(elsewhere, backups), old, None)
    assert "stay erased" in said
    there = await again(elsewhere, home, clock)
    assert await ids_left(there, person) == []
    assert (await there.history(kept))[0].text == "somebody else is my secret"
    await there.close()


async def test_no_word_and_no_id_stands_in_a_backup(
    store: Store, clock: Hands, tmp_path: Path
) -> None:
    await live(store, clock, 90210417, MARKER)
    await make_backup(store.sessions, tmp_path / "backups", clock)
    await store.close()
    written = bytes_in(tmp_path / "backups")
    assert MARKER.encode() not in written
    assert b"90210417" not in written


async def test_a_cut_or_patched_backup_is_refused_and_leaves_nothing(
    store: Store, home: Path, clock: Hands, tmp_path: Path
) -> None:
    await live(store, clock, 7, MARKER)
    path = await make_backup(store.sessions, tmp_path / "backups", clock)
    await store.close()
    whole = path.read_bytes()
    patched = [bytearray(whole) for _ in range(3)]
    for number, each in enumerate(patched):
        # A length, a tag, and sealed bytes of the second frame.
        second = 48 + 4 + int.from_bytes(whole[48:52], "big")
        each[second + (3, 8, 40)[number]] ^= 1
    last = len(whole) - 200
    harms = (whole[:-1], whole[:last], *(bytes(each) for each in patched), b"hello", b"")
    for number, harm in enumerate(harms):
        harmed = path.with_name(f"{number}.backup")
        harmed.write_bytes(harm)
        folder = tmp_path / f"try{number}"
        with pytest.raises(BackupError, match=r"another|not a backup"):
            await restore(settings(folder, path.parent), harmed, None)
        there = await again(folder, home, clock)
        assert (await there.export(7))["person"] is None
        await there.close()


async def test_a_database_that_is_in_use_is_never_overwritten(
    store: Store, home: Path, clock: Hands, tmp_path: Path
) -> None:
    number = await talk(store, 1, "now")
    path = await make_backup(store.sessions, tmp_path / "backups", clock)
    await store.add_message(number, "user", "later")
    with pytest.raises(BackupError, match="has tables already"):
        await restore(settings(home, path.parent), path, None)
    assert len(await store.history(number)) == 2
    await store.close()


async def test_a_backup_is_one_state_while_others_write(
    store: Store, home: Path, tmp_path: Path
) -> None:
    number = await talk(store, 1, "first")
    said = await make(settings(home, tmp_path / "backups"))
    await store.add_message(number, "user", "second")
    assert "is made" in said
    assert str(tmp_path / "backups" / NAME) in said
    await store.close()


def test_a_full_disk_gives_one_sentence_and_leaves_no_half_backup(home: Path) -> None:
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    fill = (
        "import asyncio; from pathlib import Path; from bot.clock import system_clock\n"
        "from bot.store.store import Store; import os\n"
        "async def main():\n"
        f"    home = Path('{home}')\n"
        "    url = f'sqlite:///{home}/lanner.db'\n"
        "    store = await Store.open(url, home, system_clock)\n"
        "    talk = await store.conversation(1, 1)\n"
        "    for _ in range(8): await store.add_message(talk.id, 'user', os.urandom(60000).hex())\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", fill], cwd=ROOT, check=True)
    failed = subprocess.run(
        [sys.executable, "-m", "bot.backup", "make"],
        cwd=ROOT, env={"LANNER_DATA_DIR": str(home), "PATH": "/usr/bin"},
        capture_output=True, text=True, check=False, preexec_fn=small,
    )  # fmt: skip
    assert failed.returncode == 1
    assert failed.stderr.startswith("The disk is full, and no backup was left half made")
    assert failed.stderr.count("\n") == 1
    assert not list((home / "backups").glob("*"))
