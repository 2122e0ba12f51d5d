"""The master key: it wraps every person's key and never seals words itself.

It lives outside the database: in a file that only its owner may read, or in a
setting. Several may be given, the newest first, while they are rotated: new
wrapping uses the first, all of them unwrap. Knows nothing of the database.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bot.sealing.sealed import KEY_BYTES, Sealed, Unreadable, new_key, seal, unseal

FILE = "master.key"


class MasterKeyError(Exception):
    """The master key cannot be used; the sentence says what to do."""


class Master:
    """Master keys that were loaded, the newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {name_of(key): key for key in keys}
        self.newest = next(iter(self._keys))

    @property
    def names(self) -> frozenset[str]:
        """Names of the keys, which tell nothing of them."""
        return frozenset(self._keys)

    def wrap(self, key: bytes, owner: int) -> Sealed:
        """A person's key, sealed under the newest master key."""
        return seal(self._keys[self.newest], key, _owner(owner))

    def unwrap(self, name: str, wrapped: bytes, owner: int) -> bytes:
        """The person's key again; raises Unreadable."""
        if name not in self._keys:
            raise Unreadable
        return unseal(self._keys[name], wrapped, _owner(owner))

    def derive(self, name: str, purpose: str) -> bytes:
        """32 bytes for one purpose, from the master key of this name; raises Unreadable."""
        if name not in self._keys:
            raise Unreadable
        return HKDF(SHA256(), 32, None, purpose.encode()).derive(self._keys[name])


@dataclass(frozen=True, slots=True)
class MasterSource:
    """Where the master key is kept: in a setting's text, else in a file."""

    path: Path
    text: str | None = None

    def load(self, *, create: bool) -> Master:
        """The keys; with `create` a missing file is made. Raises MasterKeyError."""
        if self.text is not None:
            return Master(_read(self.text, "LANNER_MASTER_KEY"))
        try:
            if create and not self.path.exists():
                self._make()
            text = self.path.read_text("ascii")
        except FileNotFoundError:
            raise MasterKeyError(
                f"The master key {self.path} is missing, and without it this database cannot be "
                "read: put the key's copy back, or start with an empty LANNER_DATA_DIR."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise MasterKeyError(
                f"The master key {self.path} cannot be read ({type(error).__name__}): "
                "check the file and who may read it."
            ) from error
        return Master(_read(text, str(self.path)))

    def store(self, keys: Sequence[bytes]) -> None:
        """Replace the file at once, readable by its owner alone."""
        body = "".join(f"{encode(key)}\n" for key in keys)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        _write_private(beside, body)
        os.replace(beside, self.path)
        _sync_folder(self.path.parent)

    def keys(self) -> list[bytes]:
        """The keys of the file, the newest first."""
        return _read(self.path.read_text("ascii"), str(self.path))

    def _make(self) -> None:
        # Made whole beside and then linked: of two that start at once, one wins.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        _write_private(beside, f"{encode(new_key())}\n")
        with suppress(FileExistsError):
            os.link(beside, self.path)
        beside.unlink()
        _sync_folder(self.path.parent)


def encode(key: bytes) -> str:
    """A key as it stands in a file or a setting."""
    return base64.urlsafe_b64encode(key).decode()


def name_of(key: bytes) -> str:
    """A short name of a key."""
    return sha256(b"lanner master key" + key).hexdigest()[:16]


def _owner(person_id: int) -> bytes:
    return f"key of {person_id}".encode()


def _read(text: str, where: str) -> list[bytes]:
    try:
        keys = [base64.b64decode(w, b"-_", True) for w in text.replace(",", " ").split()]
    except (binascii.Error, ValueError):
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise MasterKeyError(
            f"{where} does not hold a master key: put the key's copy back "
            "(`python -m bot.keys new` prints how one looks)."
        )
    return keys


def _write_private(path: Path, body: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(body)
        file.flush()
        os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
