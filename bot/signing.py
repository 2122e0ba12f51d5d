"""Buttons that nobody can make up: what a button carries is signed for its chat and runs out.

    data | expiry, 4 characters | signature, 12 characters

Telegram hands a button's data to whoever sees it, and a changed client may send
any. A button is signed as it is sent and checked as its press arrives; what
does not hold becomes data that no handler knows. Some work once only. Knows
Telegram's field names; knows nothing of what buttons do.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from bot import raw
from bot.clock import Clock

EXPIRY, SIGNATURE = 4, 12
ROOM = 64 - EXPIRY - SIGNATURE  # bytes that are left for a button's own data
REFUSED = "refused:"
NONCE = "lanner_nonce"
# Erasing and loading are asked anew each time.
ONCE = ("forget:yes", "load:")
LIFE, LIFE_ONCE = timedelta(days=90), timedelta(hours=24)


class Signer:
    """Signs keyboards on their way out, and checks presses on their way in."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret, self._clock = secret, clock

    def keyboard(self, markup: InlineKeyboardMarkup, chat: int) -> InlineKeyboardMarkup:
        """The same buttons, signed for this chat."""
        return InlineKeyboardMarkup(
            [[self._button(each, chat) for each in row] for row in markup.inline_keyboard]
        )

    def sign(self, data: str, chat: int) -> str:
        """Data with its expiry and signature."""
        hours = int((self._clock() + (LIFE_ONCE if once(data) else LIFE)).timestamp() // 3600)
        expiry = base64.urlsafe_b64encode(hours.to_bytes(3, "big")).decode()
        return data + expiry + self._signature(data, expiry, chat)

    def checked(self, update: raw.Raw) -> raw.Raw:
        """The update with a press's own data again, or with data that no handler knows."""
        query = update.get("callback_query")
        if not isinstance(query, Mapping):
            return update
        data, chat = query.get("data"), raw.chat_of(update)
        plain = self._plain(data, chat) if isinstance(data, str) else None
        changed = {**query, "data": REFUSED if plain is None else plain}
        changed.pop(NONCE, None)
        if plain is not None and once(plain):
            changed[NONCE] = f"{chat}:{str(data)[-SIGNATURE:]}:{_message(query)}"
        return {**update, "callback_query": changed}

    def _plain(self, data: str, chat: int) -> str | None:
        plain, tail = data[: -EXPIRY - SIGNATURE], data[-EXPIRY - SIGNATURE :]
        expiry, signature = tail[:EXPIRY], tail[EXPIRY:]
        known = self._signature(plain, expiry, chat)
        if not hmac.compare_digest(known.encode(), signature.encode("utf-8", "replace")):
            return None
        hours = int.from_bytes(base64.urlsafe_b64decode(expiry), "big")
        return plain if self._clock().timestamp() < hours * 3600 else None

    def _button(self, button: InlineKeyboardButton, chat: int) -> InlineKeyboardButton:
        if not isinstance(button.callback_data, str):
            return button
        return InlineKeyboardButton(
            button.text, callback_data=self.sign(button.callback_data, chat)
        )

    def _signature(self, data: str, expiry: str, chat: int) -> str:
        said = f"{chat}\n{expiry}\n{data}".encode("utf-8", "replace")
        return base64.urlsafe_b64encode(hmac.digest(self._secret, said, sha256)[:9]).decode()


def once(data: str) -> bool:
    """Whether a button with this data works one time only."""
    return data.startswith(ONCE)


def nonce_of(update: raw.Raw) -> str | None:
    """What names the button of a press that counts once."""
    query = update.get("callback_query")
    found = query.get(NONCE) if isinstance(query, Mapping) else None
    return found if isinstance(found, str) else None


def forgotten_after(clock: Clock) -> datetime:
    """When a used button need not be remembered any more."""
    return clock() + LIFE_ONCE + timedelta(hours=1)


def _message(query: Mapping[str, Any]) -> object:
    message = query.get("message")
    return message.get("message_id") if isinstance(message, Mapping) else None
