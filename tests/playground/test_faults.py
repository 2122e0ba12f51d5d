"""The faults that tests of the bot rely on do what they say."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest

from bot.playground.faults import Fault
from tests.playground.telegram import Refused, Telegram


async def test_a_lost_answer_was_done(telegram: Telegram, chat: int) -> None:
    telegram.faults.lose("sendMessage")
    with pytest.raises(httpx.RemoteProtocolError):
        await telegram("sendMessage", chat_id=chat, text="one")
    await telegram("sendMessage", chat_id=chat, text="two")
    said = [m["text"] for m in telegram.world.chat("you").messages.values()]
    assert said == ["hello", "one", "two"]
    assert [c.outcome for c in telegram.faults.of("sendMessage")] == ["lost", "done"]


async def test_a_refused_call_was_not_done(telegram: Telegram, chat: int) -> None:
    telegram.faults.refuse("sendMessage")
    with pytest.raises(httpx.RemoteProtocolError):
        await telegram("sendMessage", chat_id=chat, text="one")
    assert len(telegram.world.chat("you").messages) == 1


async def test_errors_come_as_often_as_asked_and_do_nothing(telegram: Telegram, chat: int) -> None:
    telegram.faults.flood("sendMessage", retry_after=3)
    telegram.faults.fail("sendMessage", 502, "Bad Gateway", times=2)
    codes = []
    for _ in range(3):
        with pytest.raises(Refused) as found:
            await telegram("sendMessage", chat_id=chat, text="one")
        codes.append((found.value.code, found.value.retry_after))
    assert codes == [(429, 3), (502, None), (502, None)]
    await telegram("sendMessage", chat_id=chat, text="one")
    assert len(telegram.world.chat("you").messages) == 2


async def test_a_fault_can_pick_its_calls_and_be_taken_off(telegram: Telegram, chat: int) -> None:
    ada = telegram.world.chat("ada").id
    fault = Fault("refused", times=-1, only=lambda given: given["chat_id"] == chat)
    telegram.faults.add("*", fault)
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            await telegram("sendMessage", chat_id=chat, text="one")
    await telegram("sendMessage", chat_id=ada, text="one")
    telegram.faults.off(fault)
    await telegram("sendMessage", chat_id=chat, text="one")


async def test_a_delay_holds_one_call_and_no_other(telegram: Telegram, chat: int) -> None:
    telegram.faults.delay("sendMessage", seconds=60)
    slow = asyncio.create_task(telegram("sendMessage", chat_id=chat, text="slow"))
    await asyncio.sleep(0.1)
    await telegram("sendMessage", chat_id=chat, text="quick")
    assert not slow.done()
    slow.cancel()


@pytest.mark.parametrize(("kind", "stands"), [("hang", 1), ("mute", 2)])
async def test_a_line_that_says_nothing_is_cut_when_the_fault_is_off(
    telegram: Telegram, chat: int, kind: str, stands: int
) -> None:
    fault = getattr(telegram.faults, kind)("sendMessage")
    waiting = asyncio.create_task(telegram("sendMessage", chat_id=chat, text="one"))
    while not fault.met:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not waiting.done()
    telegram.faults.off(fault)
    with pytest.raises(httpx.RemoteProtocolError):
        await waiting
    assert len(telegram.world.chat("you").messages) == stands


@pytest.mark.usefixtures("chat")
async def test_a_server_that_is_down_refuses_connections_and_comes_back_as_it_was(
    telegram: Telegram,
) -> None:
    port = telegram.playground.port
    await telegram.playground.down()
    with pytest.raises(httpx.ConnectError):
        await telegram("getMe")
    telegram.world.say("you", "are you there")
    await telegram.playground.up()
    assert telegram.playground.port == port
    assert [u["message"]["text"] for u in await telegram.updates()] == ["are you there"]


@pytest.mark.usefixtures("chat")
async def test_the_page_cannot_switch_faults_on(telegram: Telegram) -> None:
    telegram.faults.fail("*", times=-1)
    assert (await telegram.act("say", text="hi")).status_code == 200
    assert (await telegram.act("faults", text="hi")).status_code == 400


async def test_an_answer_in_two_pieces_does_not_wait_for_an_acknowledgement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accepted: list[socket.socket] = []
    real = socket.socket.accept

    def accept(listening: socket.socket) -> tuple[socket.socket, object]:
        connection, address = real(listening)
        accepted.append(connection)
        return connection, address

    monkeypatch.setattr(socket.socket, "accept", accept)
    telegram = Telegram()
    await telegram.open()
    await telegram("getMe")
    (connection,) = accepted
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await telegram.close()
