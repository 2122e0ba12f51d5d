"""The doctor knows whether the master key is there, private, and the right one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.doctor import database, keys
from bot.sealing.master import FILE, MasterSource, encode
from bot.sealing.sealed import new_key
from tests.postgres.conftest import server as server
from tests.postgres.server import Server
from tests.store.house import Hands, open_store, talk, url_in


async def _sealed(folder: Path) -> None:
    store = await open_store(folder, Hands())
    await talk(store, 1, "words")
    await store.close()


def test_a_key_that_fits_is_well_and_nothing_is_made(tmp_path: Path) -> None:
    source = MasterSource(tmp_path / FILE)
    assert keys.master_key(source).state == "well"
    assert keys.fits(url_in(tmp_path), source).state == "well"
    assert list(tmp_path.iterdir()) == []
    asyncio.run(_sealed(tmp_path))
    assert keys.master_key(source).state == "well"
    assert keys.fits(url_in(tmp_path), source).state == "well"


@pytest.mark.parametrize("harm", ["", encode(new_key())], ids=["empty", "another"])
def test_a_missing_or_wrong_key_is_ill(tmp_path: Path, harm: str) -> None:
    asyncio.run(_sealed(tmp_path))
    source = MasterSource(tmp_path / FILE)
    source.path.unlink()
    if harm:
        source.path.write_text(harm, "ascii")
    found = keys.fits(url_in(tmp_path), source)
    assert found.state == "ill"
    assert "key" in found.mend


def test_a_key_that_others_may_read_is_noted(tmp_path: Path) -> None:
    source = MasterSource(tmp_path / FILE)
    source.load(create=True)
    source.path.chmod(0o644)
    found = keys.master_key(source)
    assert (found.state, found.mend) == ("note", f"chmod 600 {source.path}")


def test_a_server_that_serves_is_well_and_one_that_does_not_is_ill(server: Server) -> None:
    url = asyncio.run(server.database())
    assert database.server(url).state == "well"
    wrong = database.server(url.replace("postgres@", "nobody:hunter2@").replace("lanner_", "no_"))
    assert wrong.state == "ill"
    assert "hunter2" not in repr(wrong)
