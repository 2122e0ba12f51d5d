"""Words are sealed to their person, their row and their place; keys to the master key."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import StatementError

from bot.keys import retire, rotate
from bot.sealing.master import FILE, MasterKeyError, MasterSource, encode
from bot.sealing.sealed import Place, Sealed, Unreadable, new_key, seal, unseal
from bot.settings import Settings
from bot.store.database import StoreError
from bot.store.store import Store
from bot.store.tables import Message
from tests.store.house import Hands, bytes_in, first_part, open_store, talk, update, url_in

ROOT = Path(__file__).parents[2]
KEY, WORDS = bytes(range(32)), "words that nobody else may read"


async def change(store: Store, statement: str, **values: object) -> None:
    """As somebody would who can write into the file but has no key."""
    async with store.sessions.write() as session:
        await session.execute(text(statement), values)


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_is_sealed_opens_where_it_was_sealed_to(plain: bytes, bound: bytes) -> None:
    sealed = seal(KEY, plain, bound)
    assert unseal(KEY, sealed, bound) == plain
    assert len(plain) < 4 or sealed.find(plain) == -1


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(at: int, change: int) -> None:
    sealed = bytearray(seal(KEY, WORDS.encode(), b"place"))
    sealed[at % len(sealed)] ^= change
    with pytest.raises(Unreadable):
        unseal(KEY, bytes(sealed), b"place")


@pytest.mark.parametrize(
    "other",
    [
        Place("outbox", "text", 1), Place("messages", "body", 1), Place("messages", "text", 2),
        Place("message", "stext", 1),
    ],
)  # fmt: skip
def test_bytes_moved_to_another_table_column_or_row_do_not_open(other: Place) -> None:
    sealed = seal(KEY, b"words", Place("messages", "text", 1).bound(7))
    with pytest.raises(Unreadable):
        unseal(KEY, sealed, other.bound(7))
    with pytest.raises(Unreadable):
        unseal(KEY, sealed, Place("messages", "text", 1).bound(8))


async def test_words_in_the_clear_cannot_reach_a_sealed_column(store: Store) -> None:
    number = await talk(store, 1)
    async with store.sessions.read() as session:
        session.add(Message(conversation_id=number, role="user", sealed=b"in the clear"))
        with pytest.raises(StatementError, match="takes sealed bytes"):
            await session.flush()


async def test_no_word_of_messages_replies_or_updates_stands_on_disk(
    store: Store, tmp_path: Path
) -> None:
    talked = await store.conversation(1, 1)
    await store.add_message(talked.id, "user", WORDS)
    await first_part(store)
    await store.generated("5", [WORDS, WORDS])
    await store.receive([update(5, 1, WORDS)])
    assert (await store.open_updates())[0]["message"]["text"] == WORDS
    assert b"Ada" not in bytes_in(tmp_path)
    assert WORDS.encode() not in bytes_in(tmp_path)


async def test_two_messages_exchanged_on_disk_are_left_out_and_the_rest_is_read(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    number = await talk(store, 1, "first", "second", "third")
    rows = await store.history(number)
    for at, other in ((0, 1), (1, 0)):
        words, row = bytes(rows[other].sealed), rows[at].id
        await change(
            store, "UPDATE messages SET text = :words WHERE id = :row", words=words, row=row
        )
    assert [m.text for m in await store.history(number)] == ["third"]
    assert "cannot be read" in caplog.text
    assert "second" not in caplog.text


async def test_a_damaged_update_is_put_aside_and_the_others_flow(store: Store) -> None:
    await store.receive([update(5), update(6)])
    await change(store, "UPDATE inbox SET body = :x WHERE update_id = 5", x=b"\x01damaged")
    assert await store.open_updates() == [update(6)]
    (aside,) = await store.quarantined()
    assert (aside.update_id, aside.error, aside.body) == (5, "Unreadable", {})


async def test_a_damaged_reply_is_written_again(store: Store) -> None:
    part = await first_part(store)
    await store.place(part.id, 77)
    await store.generated("5", ["reply"])
    await change(store, "UPDATE outbox SET text = :x", x=b"\x01damaged")
    assert await store.unsent() == []
    again = await first_part(store)
    assert (again.state, again.placeholder_id, again.text) == ("placeholder", 77, "")
    (part,) = await store.generated("5", ["another"])
    assert part.text == "another"


async def test_a_broadcast_is_sealed_while_it_goes_out_and_emptied_when_it_is_over(
    store: Store, tmp_path: Path
) -> None:
    for state in ("done", "stopped"):
        await store.begin_broadcast(WORDS)
        under_way = await store.open_broadcast()
        assert under_way is not None
        assert under_way.text == WORDS
        assert WORDS.encode() not in bytes_in(tmp_path)
        assert await store.end_broadcast(state)
    async with store.sessions.read() as session:
        assert list(await session.scalars(text("SELECT length(text) FROM broadcasts"))) == [0, 0]


async def test_a_damaged_broadcast_is_closed_and_the_next_goes_out(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.begin_broadcast("first")
    await change(store, "UPDATE broadcasts SET text = :x", x=b"\x01damaged")
    await store.begin_broadcast("second")
    under_way = await store.open_broadcast()
    assert under_way is not None
    assert under_way.text == "second"
    assert "broadcasts cannot be read" in caplog.text
    async with store.sessions.read() as session:
        states = await session.scalars(text("SELECT state FROM broadcasts ORDER BY id"))
        assert list(states) == ["damaged", "open"]


async def test_each_person_has_a_key_of_their_own_and_no_key_stands_in_the_clear(
    store: Store, tmp_path: Path
) -> None:
    await talk(store, 1, WORDS)
    await talk(store, 2, WORDS)
    async with store.sessions.read() as session:
        keys = await store.sessions.keys.find(session, [1, 2])
    assert keys[1].secret != keys[2].secret
    (tmp_path / FILE).rename(tmp_path.parent / "elsewhere.key")
    assert not any(key.secret in bytes_in(tmp_path) for key in keys.values())


async def test_an_old_copy_of_the_words_cannot_be_read_once_the_key_is_destroyed(
    store: Store,
) -> None:
    number = await talk(store, 1, WORDS)
    (old,) = await store.history(number)
    await store.forget(1)
    again = await talk(store, 1)
    await change(
        store,
        "INSERT INTO messages (id, conversation_id, role, text, created) "
        "VALUES (:id, :talk, 'user', :sealed, CURRENT_TIMESTAMP)",
        id=old.id, talk=again, sealed=bytes(old.sealed),
    )  # fmt: skip
    assert await store.history(again) == []


async def test_who_wrote_and_never_agreed_leaves_no_key(store: Store) -> None:
    await store.receive([update(5, 77), update(6, 78)])
    await talk(store, 1, "stays")
    await store.finish_update(5)
    await store.housekeeping()
    async with store.sessions.read() as session:
        left = list(await session.scalars(text("SELECT person_id FROM person_keys ORDER BY 1")))
    assert left == [1, 78]


def test_the_master_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    source = MasterSource(tmp_path / "keys" / FILE)
    names = {source.load(create=True).newest for _ in range(3)}
    assert len(names) == 1
    assert stat.S_IMODE(os.stat(source.path).st_mode) == 0o600
    assert [p.name for p in source.path.parent.iterdir()] == [FILE]


@pytest.mark.parametrize("harm", ["", "not a key", "AAAA", "é" * 44])
def test_a_file_that_holds_no_key_gives_one_sentence(tmp_path: Path, harm: str) -> None:
    (tmp_path / FILE).write_text(harm, "utf-8")
    with pytest.raises(MasterKeyError) as refused:
        MasterSource(tmp_path / FILE).load(create=True)
    assert "\n" not in str(refused.value)


async def test_a_missing_or_wrong_key_opens_nothing_and_makes_no_new_one(
    store: Store, tmp_path: Path, clock: Hands
) -> None:
    await talk(store, 1, WORDS)
    key = tmp_path / FILE
    kept = key.read_text("ascii")
    key.unlink()
    with pytest.raises(StoreError, match=r"master\.key is missing.*put the key's copy back"):
        await open_store(tmp_path, clock)
    assert not key.exists()
    key.write_text(encode(new_key()), "ascii")
    with pytest.raises(StoreError, match="not the one that this database was sealed with"):
        await open_store(tmp_path, clock)
    key.write_text(kept, "ascii")
    await (await open_store(tmp_path, clock)).close()


def settings(folder: Path, **more: object) -> Settings:
    url = url_in(folder)
    return Settings(lanner_data_dir=folder, lanner_database_url=url, **more)  # type: ignore[arg-type]


async def test_rotation_keeps_every_word_and_the_old_key_opens_nothing_any_more(
    store: Store, tmp_path: Path, clock: Hands
) -> None:
    number = await talk(store, 1, WORDS)
    source = MasterSource(tmp_path / FILE)
    old = source.load(create=False)
    assert "are wrapped under" in await rotate(settings(tmp_path))
    # Lanner ran meanwhile: it reads on, and makes keys under the new master key.
    assert [m.text for m in await store.history(number)] == [WORDS]
    await talk(store, 2, "new person")
    assert "1 old master keys were retired, 1 kept" in await retire(settings(tmp_path))
    new = source.load(create=False)
    assert not new.names & old.names
    async with store.sessions.read() as session:
        masters = set(await session.scalars(text("SELECT master FROM person_keys")))
    assert masters == {new.newest}
    again = await open_store(tmp_path, clock)
    assert [m.text for m in await again.history(number)] == [WORDS]
    await again.close()


async def test_a_key_in_the_settings_leaves_no_file(tmp_path: Path, clock: Hands) -> None:
    first, second = new_key(), new_key()
    store = await Store.open(
        url_in(tmp_path), tmp_path, clock, MasterSource(tmp_path / FILE, encode(first))
    )
    number = await talk(store, 1, WORDS)
    await store.close()
    assert not (tmp_path / FILE).exists()
    both = f"{encode(second)},{encode(first)}"
    assert "may hold its first key alone" in await rotate(
        settings(tmp_path, lanner_master_key=both)
    )
    alone = MasterSource(tmp_path / FILE, encode(second))
    again = await Store.open(url_in(tmp_path), tmp_path, clock, alone)
    assert [m.text for m in await again.history(number)] == [WORDS]
    await again.close()


def test_the_command_prints_a_key_and_says_a_mistake_in_one_line(tmp_path: Path) -> None:
    def run(what: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        return subprocess.run(
            [sys.executable, "-m", "bot.keys", what],
            cwd=ROOT,
            env=kept | {"LANNER_DATA_DIR": str(tmp_path), "LANNER_MASTER_KEY": "no key"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert len(run("new").stdout.strip()) == 44
    failed = run("rotate")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "LANNER_MASTER_KEY does not hold a master key" in failed.stderr


async def test_people_who_come_at_once_get_one_key_each(store: Store) -> None:
    talks = [(await store.conversation(n, n)).id for n in (1, 2, 3)]
    await asyncio.gather(
        *(store.add_message(talks[n % 3], "user", f"{n}") for n in range(30)),
        *(store.receive([update(n, n % 3 + 1)]) for n in range(30)),
    )
    assert [len(await store.history(number)) for number in talks] == [10, 10, 10]
    assert len(await store.open_updates()) == 30


def test_empty_text_needs_no_key() -> None:
    assert seal(KEY, b"", b"x") == Sealed() == b""
