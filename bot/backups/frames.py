"""A backup's file: frames of rows, each sealed under the key of the person whose rows they are.

    magic | name, 32 hex digits
    for each frame: length, 4 bytes | key tag, 16 bytes | sealed JSON, compressed

Whoever is erased after the backup was made cannot be read from it any more:
their key is gone, and the tag says nothing of whose it was. Frames are bound to
their number and their backup, and the last one says how many there are, so that
a file that was cut, patched or put together is noticed. Knows no database.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import date, datetime, time
from hashlib import sha256
from typing import IO, Any

from bot.sealing.sealed import Place, Sealed, seal, unseal
from bot.store.keyring import Key

MAGIC = b"lanner backup 1\n"
NAME_BYTES, TAG_BYTES, LONGEST = 32, 16, 256 * 1024 * 1024
KINDS: dict[type, str] = {datetime: "datetime", date: "date", time: "time"}
READ: dict[str, Any] = {"datetime": datetime, "date": date, "time": time}


class BackupError(Exception):
    """A backup cannot be made or restored; the sentence says what to do."""


def tag(key: Key) -> bytes:
    """Names a key without telling whose it is."""
    return sha256(b"lanner backup tag" + key.secret).digest()[:TAG_BYTES]


def write_frame(file: IO[bytes], backup: str, number: int, key: Key, content: Any) -> None:
    """One frame at the file's end."""
    plain = zlib.compress(json.dumps(content, default=_plain).encode())
    sealed = seal(key.secret, plain, Place("backup", backup, number).bound(key.owner))
    file.write((TAG_BYTES + len(sealed)).to_bytes(4, "big") + tag(key) + sealed)


def open_frame(key: Key, backup: str, number: int, sealed: bytes) -> Any:
    """A frame's content; raises Unreadable."""
    plain = unseal(key.secret, sealed, Place("backup", backup, number).bound(key.owner))
    return json.loads(zlib.decompress(plain), object_hook=_value)


def read_name(file: IO[bytes]) -> str:
    """The backup's name, which its frames are bound to; raises BackupError."""
    if file.read(len(MAGIC)) != MAGIC:
        raise BackupError("This is not a backup that Lanner made.")
    return file.read(NAME_BYTES).decode("ascii", "replace")


def read_frames(file: IO[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, tag, sealed) of each frame behind the name; raises BackupError."""
    number = 0
    while head := file.read(4):
        size = int.from_bytes(head, "big")
        body = file.read(size) if TAG_BYTES < size <= LONGEST else b""
        if len(head) < 4 or len(body) < size or not body:
            raise BackupError("The backup is damaged or was cut off: use another one.")
        yield number, body[:TAG_BYTES], body[TAG_BYTES:]
        number += 1


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$": "bytes", "v": b64encode(value).decode()}
    return {"$": KINDS[type(value)], "v": value.isoformat()}


def _value(found: dict[str, Any]) -> Any:
    kind = found.get("$")
    if kind is None:
        return found
    if kind == "bytes":
        return Sealed(b64decode(found["v"]))
    return READ[kind].fromisoformat(found["v"])
