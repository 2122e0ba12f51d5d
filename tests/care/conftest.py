"""A real store, a clock that tests turn, and an ear for what is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.store.store import Store
from tests.store.house import Hands, open_store


class Ear:
    """Hears what is sent to each chat; `deaf` chats cannot be reached."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []
        self.deaf: set[int] = set()

    async def say(self, chat: int, text: str) -> bool:
        if chat in self.deaf:
            return False
        self.heard.append((chat, text))
        return True

    def to(self, chat: int) -> list[str]:
        return [text for number, text in self.heard if number == chat]


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def store(tmp_path: Path, clock: Hands) -> AsyncIterator[Store]:
    store = await open_store(tmp_path, clock)
    yield store
    await store.close()
