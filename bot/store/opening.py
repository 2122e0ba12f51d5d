"""Opening rows that a session read. Knows keys and places; knows no query."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

from bot.sealing.sealed import Unreadable
from bot.store.keyring import Key
from bot.store.tables import Broadcast, Conversation, InboxUpdate, Message, OutboxPart, Sitting

log = logging.getLogger(__name__)


Row = TypeVar("Row", Message, OutboxPart, Broadcast)


def opened(rows: Sequence[Row], key: Key | None) -> list[Row]:
    """The rows with their text; those that the key does not open are left out and logged."""
    return [row for row in rows if _open(row, key)]


def _open(row: Message | OutboxPart | Broadcast, key: Key | None) -> bool:
    try:
        if key is None and row.sealed:
            raise Unreadable
        row.opened = key.open(row.place, row.sealed) if key else ""
    except Unreadable:
        log.error("A row of %s cannot be read: row %s", row.place.table, row.place.row)
        return False
    return True


def open_body(row: InboxUpdate | Sitting, key: Key | None) -> bool:
    """Open the row's JSON with its owner's key; {}, and False, when it cannot be read."""
    try:
        row.opened = key.open_json(row.place, row.sealed) if key else {}
    except Unreadable:
        row.opened = {}
        return False
    return True


def titled(talk: Conversation, key: Key | None) -> Conversation:
    """The conversation with its title; one that does not open is no title."""
    if key is not None and talk.sealed_title:
        try:
            talk.opened_title = key.open(talk.place, talk.sealed_title)
        except Unreadable:
            log.error("A title cannot be read: conversation %s", talk.id)
    return talk
