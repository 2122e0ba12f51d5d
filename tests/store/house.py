"""What the store's tests share: a clock that they turn, and people who talk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.store.store import Store
from bot.store.tables import OutboxPart
from bot.store.turns import Change


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


# Where this stands in a folder, its store is on PostgreSQL.
URL_FILE = "database.url"


def url_in(folder: Path) -> str:
    named = folder / URL_FILE
    return named.read_text() if named.exists() else f"sqlite:///{folder}/lanner.db"


async def open_store(folder: Path, clock: Hands) -> Store:
    return await Store.open(url_in(folder), folder, clock)


async def talk(store: Store, person: int, *words: str) -> int:
    conversation = await store.conversation(person, person)
    for word in words:
        await store.add_message(conversation.id, "user", word)
    return conversation.id


NOTHING = Change()


async def first_part(store: Store, turn: str = "5", change: Change = NOTHING) -> OutboxPart:
    """Of a turn of person 1, begun now or taken up."""
    begun = await store.begin_turn(turn, 1, 1, lambda _talk, _history: change)
    assert begun is not None
    return begun.parts[0]


def update(number: int, person: int = 1, text: str = "hello") -> dict[str, Any]:
    """As Telegram sends a private message."""
    message = {
        "message_id": number,
        "chat": {"id": person, "type": "private"},
        "from": {"id": person, "first_name": "Ada"},
        "text": text,
    }
    return {"update_id": number, "message": message}


def bytes_in(folder: Path) -> bytes:
    """Every byte of every file under a folder."""
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
