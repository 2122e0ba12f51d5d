from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.playground.telegram import Telegram


@pytest.fixture
async def telegram() -> AsyncIterator[Telegram]:
    telegram = Telegram()
    await telegram.open()
    yield telegram
    await telegram.close()


@pytest.fixture
def chat(telegram: Telegram) -> int:
    """The id of a private chat whose person has written."""
    telegram.world.say("you", "hello")
    telegram.world.updates.waiting.clear()
    return telegram.world.chat("you").id
