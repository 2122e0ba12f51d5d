"""The daily check-in that a person asked for: one fixed, quiet, kind message.

It joins the conversation's history, so that an answer to it is understood.
Knows what a check-in says; bot/schedule.py knows when one is due.
"""

from __future__ import annotations

from telegram import Bot

from bot import texts
from bot.keyboards import CHECK_IN
from bot.schedule import SendCheckIn
from bot.store.store import Store
from bot.store.tables import Person


def check_in_by(bot: Bot, store: Store) -> SendCheckIn:
    """Sends a check-in; raises what Telegram raises. One that fails is not made up for."""

    async def send(person: Person) -> None:
        talk = await store.conversation(person.id, person.id)
        message = await bot.send_message(
            person.id, texts.CHECK_IN, disable_notification=True, reply_markup=CHECK_IN
        )
        await store.add_message(
            talk.id, "assistant", texts.CHECK_IN, model="fixed", telegram_id=message.message_id
        )

    return send
