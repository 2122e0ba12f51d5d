"""Is this machine fit: disk, port, Python. Knows nothing of Telegram or the model."""

from __future__ import annotations

import errno
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from bot.doctor.findings import Finding, ill, note, well

# The demo model takes 0.4 GB, Falcon-7B's checkpoint 14 GB.
LITTLE_GB = 1.0
OLDEST = (3, 11)


def python() -> Finding:
    """The interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        return ill("python", f"This is Python {version}.", "Install Python 3.11 or newer.")
    return well("python", f"Python {version}.")


def disk(folder: Path) -> Finding:
    """Whether the data folder can be written to, and how much room there is."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
        free = shutil.disk_usage(folder).free / 1e9
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return ill("disk", f"The disk under {folder} is full.", "Free some room.")
        return ill(
            "disk",
            f"{folder} cannot be written to ({error.strerror}).",
            "Give it to the user who runs Lanner, or set LANNER_DATA_DIR.",
        )
    if free < LITTLE_GB:
        return note("disk", f"{free:.1f} GB are free under {folder}.", "Free some room soon.")
    return well("disk", f"{folder} can be written to, {free:.0f} GB are free.")


def port(number: int, option: str) -> Finding:
    """Whether a port on this machine is free; `option` is the setting that names it."""
    if number == 0:
        return well("port", f"{option} takes any free port.")
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind(("127.0.0.1", number))
        except OSError:
            return note(
                "port",
                f"Port {number} is in use.",
                f"If that is not Lanner itself, set {option} to another.",
            )
    return well("port", f"Port {number} is free ({option}).")
