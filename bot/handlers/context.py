"""What handlers share: the services, typed, who speaks where, and how to answer.

An answer to a command may be repeated when Telegram's answer was lost; a
reply of the model never goes this way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from telegram import ForceReply, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, Forbidden
from telegram.ext import ContextTypes

from bot import texts
from bot.asking import Asked
from bot.care import Care
from bot.chat import ChatService
from bot.patience import patiently
from bot.people import PeopleService
from bot.privacy import Privacy
from bot.questionnaires.service import Questionnaires
from bot.store.admission import Standing
from bot.store.store import Store
from model.types import Model

Context = ContextTypes.DEFAULT_TYPE
Handler = Callable[[Update, Context], Coroutine[Any, Any, None]]


@dataclass
class Services:
    """The parts that handlers call."""

    store: Store
    chat: ChatService
    people: PeopleService
    privacy: Privacy
    questionnaires: Questionnaires
    care: Care
    model: Model
    admins: frozenset[int]
    describe: Callable[[], Awaitable[str]]
    # Updates that stopped a reply when they arrived; see bot.urgent.
    stopped: set[int] = field(default_factory=set)


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


async def standing_of(update: Update, context: Context) -> Standing:
    """What decides whether the update's person is answered."""
    return await services(context).store.standing(ids(update).person, texts.CONSENT_VERSION)


def asked(update: Update, text: str = "", notice: str | None = None) -> Asked:
    """The wish for a reply that an update is."""
    who, message = ids(update), update.effective_message
    number = message.message_id if message else 0
    return Asked(str(update.update_id), who.person, who.chat, text, number, notice)


async def answer(
    update: Update, text: str, markup: InlineKeyboardMarkup | ForceReply | None = None
) -> None:
    """Reply in the same chat, as soon as the network allows; to nobody who blocked the bot."""
    chat = update.effective_chat
    if chat is not None:
        with suppress(Forbidden):
            await patiently(lambda: chat.send_message(text, reply_markup=markup))


async def toast(update: Update, text: str | None = None) -> None:
    """End the waiting of a pressed button; one that is too old waits no more."""
    query = update.callback_query
    if query is not None:
        with suppress(BadRequest):
            await patiently(lambda: query.answer(text))


async def turn_into(update: Update, text: str, markup: InlineKeyboardMarkup | None = None) -> None:
    """Change the message whose button was pressed; where it cannot be, answer anew."""
    query = update.callback_query
    if query is None or query.message is None:
        await answer(update, text, markup)
        return
    try:
        await patiently(lambda: query.edit_message_text(text, reply_markup=markup))
    except BadRequest as error:
        if "not modified" not in error.message:
            await answer(update, text, markup)


def picked(update: Update) -> list[str]:
    """The parts of a pressed button's data, after its first word."""
    data = update.callback_query.data if update.callback_query else None
    return (data or "").split(":", 2)[1:]
