"""Can the database be opened, is it whole, is it migrated. Changes nothing in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bot.doctor.findings import Finding, ill, note, well

RESTORE = "Stop Lanner, move the file away, and restore a backup."


def sqlite_file(path: Path) -> Finding:
    """The SQLite file at `path`."""
    if not path.exists():
        return well("database", f"{path.name} is made at the first start.")
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5) as file:
            state = file.execute("PRAGMA quick_check(1)").fetchone()[0]
            version = file.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return note("database", f"{path.name} is not Lanner's, or is empty.", "Move it away.")
        return ill(
            "database",
            f"{path.name} cannot be opened ({error}).",
            "Give the folder to the user who runs Lanner, and end other programs that lock it.",
        )
    except sqlite3.DatabaseError:
        return ill("database", f"{path.name} is damaged.", RESTORE)
    if state != "ok":
        return ill("database", f"{path.name} is damaged.", RESTORE)
    return well("database", f"{path.name} is whole, at revision {version[0] if version else '–'}.")
