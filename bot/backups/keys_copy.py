"""The one copy of the persons' keys that lies beside the backups, and is never kept old.

Backups may be many and old: a person is erased from all of them when their key
leaves this copy, which happens at once when they are forgotten. The keys in it
are wrapped by the master key, and the whole is sealed by it once more. Knows
nothing of the backups themselves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bot.backups.frames import BackupError
from bot.sealing.master import Master
from bot.sealing.sealed import Sealed, Unreadable, seal, unseal
from bot.store.sessions import Sessions
from bot.store.tables import PersonKey

NAME = "keys.copy"
PURPOSE = "lanner keys copy"
log = logging.getLogger(__name__)


async def write_keys(sessions: Sessions, folder: Path) -> None:
    """Replace the copy in `folder` by the keys that stand in the database now."""
    async with sessions.read() as session:
        rows = list(await session.scalars(select(PersonKey).order_by(PersonKey.person_id)))
    keys = [[row.person_id, b64encode(row.wrapped).decode(), row.master, row.created.isoformat()]
            for row in rows]  # fmt: skip
    master = sessions.keys.master
    sealed = seal(master.derive(master.newest, PURPOSE), json.dumps(keys).encode(), NAME.encode())
    await asyncio.to_thread(replace, folder / NAME, master.newest.encode() + b"\n" + sealed)


def forgetting(sessions: Sessions, folder: Path) -> Callable[[], Awaitable[None]]:
    """For the store to call when it forgot somebody: their key leaves the copy, if there is one."""

    async def forgotten() -> None:
        if await asyncio.to_thread((folder / NAME).exists):
            try:
                await write_keys(sessions, folder)
            except OSError as error:
                log.error(
                    "A forgotten person's key is still in %s (%s): make a backup as soon as "
                    "the folder can be written.", folder / NAME, error.strerror,
                )  # fmt: skip

    return forgotten


def read_keys(path: Path, master: Master) -> list[dict[str, Any]]:
    """Rows of the keys' table; raises BackupError."""
    try:
        name, _, sealed = path.read_bytes().partition(b"\n")
        secret = master.derive(name.decode("ascii", "replace"), PURPOSE)
        keys = json.loads(unseal(secret, sealed, NAME.encode()))
    except OSError as error:
        raise BackupError(
            f"The keys' copy {path} cannot be read ({error.strerror}): it lies beside the backups."
        ) from error
    except Unreadable:
        raise BackupError(
            f"The keys' copy {path} does not open with the master key: put the right key back."
        ) from None
    return [
        {"person_id": owner, "wrapped": Sealed(b64decode(wrapped)), "master": by,
         "created": datetime.fromisoformat(created)}
        for owner, wrapped, by, created in keys
    ]  # fmt: skip


def replace(path: Path, content: bytes) -> None:
    """Replace a file at once, readable by its owner alone; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
