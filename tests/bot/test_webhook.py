"""Updates by webhook: only with the secret, confirmed only when they are on disk, answered once."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from bot.playground.state import person_id
from bot.webhook import HEADER
from tests.bot.house import House

SECRET = "a-secret_of-this-test"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
async def hooked(tmp_path: Path) -> AsyncIterator[House]:
    house, port = House(tmp_path), free_port()
    await house.open(
        lanner_webhook_url=f"http://127.0.0.1:{port}",
        lanner_webhook_port=port,
        lanner_webhook_secret=SECRET,
    )
    await house.until(lambda: house.faults.of("setWebhook"))
    house.address = f"http://127.0.0.1:{port}/telegram"
    yield house
    await house.leave()


def update(number: int, text: str) -> dict[str, Any]:
    ada = person_id("Ada")
    chat = {"id": ada, "type": "private", "first_name": "Ada"}
    person = {"id": ada, "is_bot": False, "first_name": "Ada"}
    message = {"message_id": number, "date": 1, "chat": chat, "from": person, "text": text}
    return {"update_id": number, "message": message}


async def test_people_are_answered_and_nothing_is_polled(hooked: House) -> None:
    await hooked.agree()
    assert await hooked.say("hello") == "I hear you. Tell me more."
    assert hooked.faults.of("getUpdates") == []


@pytest.mark.parametrize("given", [{}, {HEADER: "wrong"}, {HEADER: SECRET[:-1]}, {HEADER: "é"}])
async def test_a_call_without_the_secret_changes_nothing(
    hooked: House, given: dict[str, str]
) -> None:
    headers = [(name.encode(), value.encode()) for name, value in given.items()]
    async with httpx.AsyncClient() as client:
        answer = await client.post(hooked.address, json=update(1, "x"), headers=headers)
    assert (answer.status_code, answer.content) == (403, b"")
    assert await hooked.lanner.store.open_updates() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"update_id": "1"}', b"x" * 1_100_000])
async def test_what_is_no_update_is_refused(hooked: House, body: bytes) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(hooked.address, content=body, headers={HEADER: SECRET})
    assert answer.status_code == 400


async def test_an_update_that_is_not_on_disk_is_not_confirmed(hooked: House) -> None:
    hooked.chat("Ada")
    store = hooked.lanner.store

    async def full(updates: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: ARG001
        raise OperationalError("INSERT", {}, OSError("database or disk is full"))

    receive, store.receive = store.receive, full  # type: ignore[method-assign]
    async with httpx.AsyncClient() as client:
        headers = {HEADER: SECRET}
        answer = await client.post(hooked.address, json=update(5, "/help"), headers=headers)
        assert answer.status_code == 503
        store.receive = receive  # type: ignore[method-assign]
        for _ in range(2):
            answer = await client.post(hooked.address, json=update(5, "/help"), headers=headers)
            assert answer.status_code == 200
    await hooked.settled()
    assert len(hooked.bot_says("Ada")) == 1


async def test_polling_again_takes_an_old_webhook_off(hooked: House) -> None:
    await hooked.agree()
    await hooked.close()
    await hooked.open()
    assert await hooked.say("hello") == "I hear you. Tell me more."
    assert hooked.faults.of("deleteWebhook")
