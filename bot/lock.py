"""One Lanner for one database: a second start is refused, since two pollers would fight.

The lock ends with its process, however that ends. Knows files; knows nothing
of what is in the database.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self


class AlreadyRunning(Exception):
    """Another process holds the lock; the sentence says what to do."""


class InstanceLock:
    """Held from `InstanceLock.take` until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, beside: Path) -> Self:
        """Lock `<beside>.lock`; raises AlreadyRunning, or OSError when it cannot be written."""
        beside.parent.mkdir(parents=True, exist_ok=True)
        path = beside.with_name(f"{beside.name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise AlreadyRunning(
                f"Lanner already runs with this database{f' (process {holder})' if holder else ''}:"
                " stop it first, or give this one its own LANNER_DATA_DIR."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return cls(descriptor)

    def release(self) -> None:
        """Let another start take over; the file stays, since deleting it would race."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
