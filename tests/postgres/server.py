"""A real PostgreSQL server from the system's packages, started by the tests for themselves."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg

from bot.clock import system_clock
from bot.store.store import Store
from bot.store.tables import Base

USER = "postgres"  # Debian's package makes it; PostgreSQL refuses to run as root
MISSING = "PostgreSQL is not installed (apt-get install postgresql)"


def find(program: str) -> Path | None:
    """The newest version's program, where Debian puts it or on the path."""
    placed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda p: p.parts[4])
    on_path = shutil.which(program)
    return placed[-1] if placed else Path(on_path) if on_path else None


class Server:
    """One server on a Unix socket in a folder of its own."""

    def __init__(self) -> None:
        # A socket's path may have no more than 107 bytes, and the server's user must reach it.
        self.folder = Path(tempfile.mkdtemp(prefix="lanner-pg-", dir="/tmp"))
        self.data = self.folder / "data"
        self._user = {"user": USER, "group": USER} if os.getuid() == 0 else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._names, self._ready = 0, False

    def start(self) -> None:
        """Make the data folder if new, and serve."""
        if os.getuid() == 0:
            shutil.chown(self.folder, USER, USER)
        if not self.data.exists():
            self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", USER, "-E", "UTF8",
                      "--locale=C", "--no-sync")  # fmt: skip
        program = find("postgres")
        assert program
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [program, "-D", self.data, "-k", self.folder, "-c", "listen_addresses=",
             "-c", "fsync=off", "-c", "max_connections=60"],
            stdout=log, stderr=log, cwd=self.folder, **self._user,  # type: ignore[call-overload]
        )  # fmt: skip
        log.close()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                asyncio.run(self._sql("SELECT 1"))
            except (OSError, asyncpg.PostgresError):
                time.sleep(0.1)
            else:
                return
        raise TimeoutError((self.folder / "log").read_text())

    def stop(self) -> None:
        """End it and remove its folder."""
        self.end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self, number: int) -> None:
        """End it as a power cut or an administrator would; `start` serves the same data again."""
        assert self._process
        self._process.send_signal(number)
        self._process.wait(60)

    async def database(self, *, ready: bool = False) -> str:
        """The URL of an empty database; a `ready` one is shared and keeps its tables."""
        if ready and self._ready:
            tables = ", ".join(f'"{name}"' for name in Base.metadata.tables)
            await self._sql(f"TRUNCATE {tables} RESTART IDENTITY", "lanner_ready")
            return self._url("lanner_ready")
        self._names += 1
        name = "lanner_ready" if ready else f"lanner_{self._names}"
        await self._sql(f"CREATE DATABASE {name}")
        if ready:
            await self._migrate(self._url(name))
        return self._url(name)

    async def _migrate(self, url: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = await Store.open(url, Path(folder), system_clock)
            await store.close()
        self._ready = True

    def _url(self, name: str) -> str:
        return f"postgresql+asyncpg://{USER}@/{name}?host={self.folder}"

    def bytes(self) -> bytes:
        """Every byte of the server's files."""
        return b"".join(p.read_bytes() for p in self.data.rglob("*") if p.is_file())

    async def _sql(self, statement: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(host=str(self.folder), user=USER, database=database)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _run(self, program: str, *arguments: str) -> None:
        found = find(program)
        assert found
        subprocess.run(
            [found, *arguments],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._user,  # type: ignore[call-overload]
        )
