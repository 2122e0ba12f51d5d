"""The doctor finds each illness, says how to mend it, and never shows the token."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.doctor import database, machine, model
from bot.doctor.findings import Finding
from bot.doctor.telegram import telegram
from bot.playground.server import Playground
from bot.store.database import open_database

ROOT = Path(__file__).parents[2]
TOKEN = "12345:secret-token"


@pytest.fixture
async def server() -> AsyncIterator[str]:
    playground = Playground(TOKEN, 0, lambda: {"text": ""})
    await playground.start()
    yield playground.url.rstrip("/")
    await playground.stop()


async def examined(server: str, token: str, skew_s: float = 0) -> dict[str, Finding]:
    def now() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=skew_s)

    found = await asyncio.to_thread(telegram, token, now, server)
    return {finding.part: finding for finding in found}


async def test_a_known_token_and_a_right_clock_are_well(server: str) -> None:
    found = await examined(server, TOKEN)
    assert found["token"].state == "well"
    assert found["clock"].state == "well"


async def test_an_unknown_token_is_named_and_not_shown(server: str) -> None:
    found = await examined(server, "999:wrong-token")
    assert found["token"].state == "ill"
    assert "wrong-token" not in repr(found)
    assert "BotFather" in found["token"].mend


async def test_a_clock_that_is_off_is_named(server: str) -> None:
    found = await examined(server, TOKEN, skew_s=600)
    assert found["clock"].state == "ill"
    assert " 60" in found["clock"].sentence or " 59" in found["clock"].sentence


@pytest.mark.parametrize("token", [TOKEN, "1:a b\nc", "ключ", ""])
def test_a_dead_network_is_a_sentence_without_the_token(token: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (found,) = telegram(token, server=address)
    assert found.state == "ill"
    assert not token or token not in repr(found)


def test_without_a_token_there_is_a_demo() -> None:
    (found,) = telegram(None)
    assert found.state == "note"


def test_a_folder_that_is_a_file_is_ill(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert machine.disk(tmp_path / "data").state == "ill"
    assert machine.disk(tmp_path / "new" / "data").state == "well"


def test_a_taken_port_is_noted() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = machine.port(taken.getsockname()[1], "LANNER_PLAYGROUND_PORT")
    assert found.state == "note"
    assert "LANNER_PLAYGROUND_PORT" in found.mend


def test_an_adapter_outside_its_folder_is_ill(tmp_path: Path) -> None:
    assert model.adapter(tmp_path, None).state == "well"
    assert model.adapter(tmp_path, "../../etc").state == "ill"


async def test_a_migrated_database_is_well_and_stays_untouched(tmp_path: Path) -> None:
    path = tmp_path / "lanner.db"
    sessions = await open_database(f"sqlite:///{path}", tmp_path)
    await sessions.close()
    before = path.read_bytes()
    assert database.sqlite_file(path).state == "well"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database" * 400, b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_a_damaged_database_is_ill(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lanner.db"
    path.write_bytes(content)
    assert database.sqlite_file(path).state == "ill"


def test_a_foreign_database_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "lanner.db"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE other (id INTEGER)")
    assert database.sqlite_file(path).state == "note"


def test_the_command_exits_with_1_and_no_traceback_when_something_is_ill(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    options = {"LANNER_DATA_DIR": str(tmp_path), "LANNER_ADAPTER": "../nowhere"}
    run = subprocess.run(
        [sys.executable, "-m", "bot.doctor"],
        cwd=ROOT, env=kept | options, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "✕ adapter" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
