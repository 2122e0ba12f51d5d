"""What handlers share: the services, typed, and who speaks where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from telegram import InlineKeyboardMarkup, Update
from telegram.ext import ContextTypes

from bot.chat import ChatService
from bot.store.store import Store
from model.types import Model

Context = ContextTypes.DEFAULT_TYPE


@dataclass
class Services:
    """The parts that handlers call."""

    store: Store
    chat: ChatService
    model: Model
    admins: frozenset[int]
    retention_days: int
    describe: Callable[[], str]
    stopped: dict[int, bool] = field(default_factory=dict)


class Ids(NamedTuple):
    """Who, and in which chat."""

    person: int
    chat: int


def services(context: Context) -> Services:
    """The services that bot.app put there."""
    found: Any = context.application.bot_data["services"]
    assert isinstance(found, Services)  # noqa: S101
    return found


def ids(update: Update) -> Ids:
    """Telegram's ids of an update that has a person and a chat."""
    person, chat = update.effective_user, update.effective_chat
    return Ids(person.id if person else 0, chat.id if chat else 0)


async def answer(update: Update, text: str, markup: InlineKeyboardMarkup | None = None) -> None:
    """Reply in the same chat."""
    if update.effective_chat is not None:
        await update.effective_chat.send_message(text, reply_markup=markup)
