"""The webhook: its secret, its retries, and that it and getUpdates exclude each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.serving import Server
from tests.playground.telegram import Refused, Telegram
from tests.playground.test_sending import refused


class Receiver:
    """A bot's own server; `codes` are its next answers, then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[str | None, dict[str, Any]]] = []
        self.codes: list[int] = []
        self.reply: dict[str, Any] | None = None

    async def hook(self, request: Request) -> Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
        self.got.append((secret, await request.json()))
        code = self.codes.pop(0) if self.codes else 200
        return JSONResponse(self.reply, code) if self.reply else Response(status_code=code)

    async def start(self) -> None:
        app = Starlette(routes=[Route("/hook", self.hook, methods=["POST"])])
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="off",
                                timeout_graceful_shutdown=1)  # fmt: skip
        self.server = Server(config)
        self.task = asyncio.create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/hook"

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.task


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


async def until(met: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not met():
            await asyncio.sleep(0.01)


async def test_an_update_arrives_once_with_the_secret(
    telegram: Telegram, receiver: Receiver
) -> None:
    await telegram("setWebhook", url=receiver.url, secret_token="s3cret_-")
    telegram.world.say("you", "one")
    telegram.world.say("you", "two")
    await until(lambda: not telegram.world.updates.waiting)
    assert [(s, u["message"]["text"]) for s, u in receiver.got] == [
        ("s3cret_-", "one"),
        ("s3cret_-", "two"),
    ]


async def test_an_update_comes_again_until_the_bot_takes_it(
    telegram: Telegram, receiver: Receiver
) -> None:
    receiver.codes = [500, 403]
    await telegram("setWebhook", url=receiver.url)
    telegram.world.say("you", "one")
    await until(lambda: not telegram.world.updates.waiting)
    assert [u["message"]["text"] for _, u in receiver.got] == ["one"] * 3
    info = await telegram("getWebhookInfo")
    assert info["last_error_message"] == "Wrong response from the webhook: 403 Forbidden"
    assert info["pending_update_count"] == 0


async def test_a_method_in_the_answer_is_done(telegram: Telegram, receiver: Receiver) -> None:
    chat = telegram.world.chat("you")
    receiver.reply = {"method": "sendMessage", "chat_id": chat.id, "text": "at once"}
    await telegram("setWebhook", url=receiver.url)
    telegram.world.say("you", "one")
    await until(lambda: any(m["text"] == "at once" for m in chat.messages.values()))


async def test_a_dead_webhook_keeps_updates_for_whoever_comes(telegram: Telegram) -> None:
    await telegram("setWebhook", url="http://127.0.0.1:9/")
    telegram.world.say("you", "one")
    hook = telegram.world.updates.webhook
    await until(lambda: hook and hook.last_error)
    assert (await telegram("getWebhookInfo"))["last_error_message"] == "Connection refused"
    await telegram("deleteWebhook")
    assert [u["message"]["text"] for u in await telegram.updates()] == ["one"]


async def test_a_webhook_and_polling_exclude_each_other(telegram: Telegram) -> None:
    poll = asyncio.create_task(telegram.updates(timeout=50))
    await asyncio.sleep(0.1)
    await telegram("setWebhook", url="http://127.0.0.1:9/")
    with pytest.raises(Refused, match="409 Conflict: can't use getUpdates method while webhook"):
        await poll
    with pytest.raises(Refused, match="409"):
        await telegram.updates()
    await telegram("setWebhook", url="")
    assert await telegram.updates() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "ftp://127.0.0.1/"}, {"url": "https://example.org/hook"}, {"url": "nonsense"},
        {"url": "http://127.0.0.1:9/", "secret_token": "not allowed!"},
        {"url": "http://127.0.0.1:9/", "max_connections": 101},
    ],
)  # fmt: skip
async def test_a_webhook_that_would_not_do_is_refused(
    telegram: Telegram, arguments: dict[str, Any]
) -> None:
    assert (await refused(telegram, "setWebhook", **arguments)).code == 400
    assert (await telegram("getWebhookInfo"))["url"] == ""


async def test_pending_updates_can_be_dropped(telegram: Telegram) -> None:
    telegram.world.say("you", "one")
    await telegram("deleteWebhook", drop_pending_updates=True)
    assert await telegram.updates() == []
