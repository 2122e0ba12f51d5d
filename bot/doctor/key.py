"""Can the master key be read, and by its owner alone. Shows nothing of it."""

from __future__ import annotations

import stat

from bot.doctor.findings import Finding, ill, note, well
from bot.sealing.master import MasterKeyError, MasterSource


def key(source: MasterSource, *, database_exists: bool) -> Finding:
    """The master key, without which a database that exists cannot be read."""
    if source.text is None and not source.path.exists() and not database_exists:
        return well("key", "The master key is made at the first start.")
    try:
        source.load(create=False)
    except MasterKeyError as error:
        return ill("key", str(error), "Backups do not hold the key: it is kept apart from them.")
    if source.text is None and source.path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return note(
            "key", f"Others than its owner may read {source.path.name}.",
            f"chmod 600 {source.path}",
        )  # fmt: skip
    return well("key", "The master key is there, and readable by its owner alone.")
