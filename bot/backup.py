"""`python -m bot.backup make | restore FILE`: the operator's copies of everything.

make     writes a backup into LANNER_BACKUP_DIR, while Lanner runs or not
restore  reads one into an empty database; whoever was erased since stays erased

A restore needs three things: the backup, the keys' copy beside it, and the
master key, which is in neither. Keep the master key elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from bot.backups.frames import BackupError
from bot.backups.keys_copy import NAME
from bot.backups.making import make_backup
from bot.backups.restoring import Restoring
from bot.clock import system_clock
from bot.sealing.master import MasterKeyError
from bot.settings import Settings, SettingsError, read_settings
from bot.store import postgres, sqlite
from bot.store.database import StoreError
from bot.store.store import Store


async def make(settings: Settings) -> str:
    """Write a backup; returns what to say."""
    store = await Store.open(
        settings.database_url, settings.lanner_data_dir, system_clock, settings.master_key
    )
    try:
        path = await make_backup(store.sessions, settings.backup_dir, system_clock)
    finally:
        await store.close()
    size = await asyncio.to_thread(lambda: path.stat().st_size)
    return (
        f"{path} ({size / 1e6:.1f} MB) is made, with {path.parent / NAME}. "
        "Keep the master key elsewhere: without it neither can be read."
    )


async def restore(settings: Settings, path: Path, keys: Path | None) -> str:
    """Fill an empty database from a backup; returns what to say."""
    master = settings.master_key.load(create=False)
    restoring = await asyncio.to_thread(Restoring, path, keys or path.parent / NAME, master)
    settings.lanner_data_dir.mkdir(parents=True, exist_ok=True)
    url = settings.database_url
    if url.startswith(postgres.PREFIX):
        await postgres.migrate_server(url, restoring)
    else:
        await asyncio.to_thread(sqlite.migrate_file, url, restoring)
    rows = ", ".join(f"{count} {name}" for name, count in sorted(restoring.restored.rows.items()))
    gone = restoring.restored.erased
    return f"Restored {rows}." + (
        f" {gone} parts belong to people who were erased since, and stay erased." if gone else ""
    )


def main(arguments: Sequence[str]) -> int:
    """The command; 1 with one sentence when it cannot be done."""
    parser = argparse.ArgumentParser("python -m bot.backup", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("make", help="write a backup into LANNER_BACKUP_DIR")
    back = commands.add_parser("restore", help="read a backup into an empty database")
    back.add_argument("file", type=Path)
    back.add_argument("--keys", type=Path, help=f"the keys' copy, by default {NAME} beside it")
    asked = parser.parse_args(arguments)
    try:
        settings = read_settings()
        work = make(settings) if asked.what == "make" else restore(settings, asked.file, asked.keys)
        print(asyncio.run(work))
    except (SettingsError, StoreError, BackupError, MasterKeyError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(_sentence(error))
    except (SQLAlchemyError, sqlite3.Error) as error:
        return _refuse(
            f"The database refused ({type(error).__name__}): check its disk and that it is empty "
            "where it is to be restored."
        )
    return 0


def _sentence(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            "The disk is full, and no backup was left half made: "
            "make room, or set LANNER_BACKUP_DIR."
        )
    where = error.filename or "A file"
    return f"{where} cannot be used ({error.strerror}): check LANNER_BACKUP_DIR."


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
