"""Sealing bytes: AES-256-GCM under one key, bound to the place where they are kept.

    01 | nonce, 12 bytes | ciphertext and tag        nothing sealed is nothing

The first byte names the format. What is sealed for one place does not open in
another: table, column, row and owner are authenticated with it. Knows nothing
of the database, of people or of where keys come from.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = b"\x01"
NONCE_BYTES, KEY_BYTES, TAG_BYTES = 12, 32, 16


class Unreadable(Exception):
    """Sealed bytes that this key does not open here: damaged, moved, or another key's."""


class Sealed(bytes):
    """Bytes that were sealed. A sealed column takes nothing else."""

    __slots__ = ()


NOTHING = Sealed()


class Place(NamedTuple):
    """Where sealed bytes are kept: `messages`, `text`, and the row's key."""

    table: str
    column: str
    row: str | int

    def bound(self, owner: str | int) -> bytes:
        """What is authenticated with the bytes; no two places give the same."""
        parts = (self.table, self.column, str(self.row), str(owner))
        return b"".join(len(each.encode()).to_bytes(4, "big") + each.encode() for each in parts)


def new_key() -> bytes:
    """32 bytes from the system's source of secrets."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plain: bytes, bound: bytes) -> Sealed:
    """Seal bytes to what they are `bound` to; the empty need no sealing."""
    if not plain:
        return NOTHING
    nonce = os.urandom(NONCE_BYTES)
    return Sealed(FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, bound))


def unseal(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """The bytes again; raises Unreadable."""
    if not sealed:
        return b""
    if sealed[:1] != FORMAT or len(sealed) < len(FORMAT) + NONCE_BYTES + TAG_BYTES:
        raise Unreadable
    at = len(FORMAT) + NONCE_BYTES
    try:
        return AESGCM(key).decrypt(sealed[len(FORMAT) : at], sealed[at:], bound)
    except InvalidTag:
        raise Unreadable from None
