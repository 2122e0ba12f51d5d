"""Talk: messages, edited messages, /retry, and what is not text."""

from __future__ import annotations

from telegram import Update

from bot import texts
from bot.handlers.context import Context, answer, ids, services


async def message(update: Update, context: Context) -> None:
    """A message of a person who has consented; danger is answered in any case."""
    here, said = services(context), update.effective_message
    if said is None or not said.text:
        return
    consented = await here.store.has_consented(ids(update).person, texts.CONSENT_VERSION)
    if not consented and here.chat.gate.assess(said.text).model_may_answer:
        await answer(update, texts.FIRST_CONSENT)
        return
    await here.store.person(ids(update).person)
    turn = here.chat.edited if update.edited_message else here.chat.answer
    await turn(context.bot, ids(update).person, ids(update).chat, said.text, said.message_id)


async def retry(update: Update, context: Context) -> None:
    """The last reply again."""
    here = services(context)
    consented = await here.store.has_consented(ids(update).person, texts.CONSENT_VERSION)
    if not consented or not await here.chat.retry(
        context.bot, ids(update).person, ids(update).chat
    ):
        await answer(update, texts.NOTHING_TO_RETRY)


async def unknown(update: Update, context: Context) -> None:
    """Stickers, voice, photos, files."""
    await answer(update, texts.UNKNOWN)


async def unknown_command(update: Update, context: Context) -> None:
    """A command that does not exist."""
    await answer(update, texts.UNKNOWN_COMMAND)
