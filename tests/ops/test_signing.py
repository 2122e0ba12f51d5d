"""A button's press counts only if it was handed out: here, lately, and some once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from bot.signing import LIFE, NONCE, REFUSED, ROOM, Signer, forgotten_after, nonce_of
from bot.store.store import Store
from tests.store.house import Hands

SECRET = bytes(32)


@pytest.fixture
def signer(clock: Hands) -> Signer:
    return Signer(SECRET, clock)


def press(data: Any, chat: int = 7, message: int = 3) -> dict[str, Any]:
    inner = {"message_id": message, "chat": {"id": chat}}
    return {"update_id": 1, "callback_query": {"from": {"id": 7}, "message": inner, "data": data}}


def data_of(update: dict[str, Any]) -> str:
    return str(update["callback_query"]["data"])


def test_a_button_that_was_handed_out_says_what_it_said(signer: Signer) -> None:
    shown = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="consent:yes")]])
    (row,) = signer.keyboard(shown, 7).inline_keyboard
    signed = row[0].callback_data
    assert isinstance(signed, str)
    assert data_of(signer.checked(press(signed))) == "consent:yes"


def test_the_longest_data_fits_into_what_telegram_takes(signer: Signer) -> None:
    assert len(signer.sign("x" * ROOM, -(10**13)).encode()) == 64


def test_a_press_from_another_chat_or_with_another_key_is_refused(
    signer: Signer, clock: Hands
) -> None:
    signed = signer.sign("forget:yes", 7)
    assert data_of(signer.checked(press(signed, chat=8))) == REFUSED
    assert data_of(Signer(bytes([1] * 32), clock).checked(press(signed))) == REFUSED


def test_a_press_long_after_is_refused(signer: Signer, clock: Hands) -> None:
    signed = signer.sign("set:days", 7)
    clock.now += LIFE - timedelta(hours=1)
    assert data_of(signer.checked(press(signed))) == "set:days"
    clock.now += timedelta(hours=2)
    assert data_of(signer.checked(press(signed))) == REFUSED


@given(st.one_of(st.text(max_size=64), st.none(), st.integers(), st.lists(st.text())))
def test_whatever_a_changed_client_sends_is_refused_and_never_fails(data: Any) -> None:
    signer = Signer(SECRET, Hands())
    assert data_of(signer.checked(press(data))) == REFUSED


@given(st.integers(0, 40), st.integers(1, 127))
def test_a_changed_character_anywhere_is_refused(at: int, change: int) -> None:
    signer = Signer(SECRET, Hands())
    signed = signer.sign("talk:delete:12", 7)
    place = at % len(signed)
    other = signed[:place] + chr(ord(signed[place]) ^ change) + signed[place + 1 :]
    assert data_of(signer.checked(press(other))) == REFUSED


def test_other_updates_pass_as_they_are(signer: Signer) -> None:
    others: list[dict[str, Any]] = [
        {"update_id": 1}, {"update_id": 1, "callback_query": []}, {"message": {}},
    ]  # fmt: skip
    for update in others:
        assert signer.checked(update) == update


def test_a_nonce_cannot_be_brought_along(signer: Signer) -> None:
    forged = press(signer.sign("stop", 7))
    forged["callback_query"][NONCE] = "mine"
    assert nonce_of(signer.checked(forged)) is None


async def test_what_may_be_pressed_once_is_refused_the_second_time_but_not_after_a_crash(
    signer: Signer, store: Store, clock: Hands
) -> None:
    nonce = nonce_of(signer.checked(press(signer.sign("forget:yes", 7))))
    assert nonce is not None
    expires = forgotten_after(clock)
    assert await store.use_button(nonce, 1, expires)
    assert await store.use_button(nonce, 1, expires)
    assert not await store.use_button(nonce, 2, expires)
    clock.now = expires + timedelta(hours=1)
    assert data_of(signer.checked(press(signer.sign("forget:yes", 7)))) == "forget:yes"
