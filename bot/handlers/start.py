"""The first words: what this is, consent, help, and a new conversation."""

from __future__ import annotations

from telegram import Update

from bot import texts
from bot.handlers.context import Context, answer, ids, picked, services, toast, turn_into
from bot.keyboards import CONSENT, HELP


async def start(update: Update, context: Context) -> None:
    """What this is, and consent."""
    await answer(update, texts.WELCOME, CONSENT)


async def help_(update: Update, context: Context) -> None:
    """The commands, as words and as buttons."""
    await answer(update, texts.HELP, HELP)


async def consent(update: Update, context: Context) -> None:
    """The answer to the question of /start."""
    await toast(update)
    if picked(update)[:1] != ["yes"]:
        await turn_into(update, texts.DECLINED)
        return
    user = update.effective_user
    language = (user.language_code if user else None) or "en"
    await services(context).people.consent(ids(update).person, language, texts.CONSENT_VERSION)
    await turn_into(update, texts.WELCOME)
    await answer(update, texts.AGREED)


async def new(update: Update, context: Context) -> None:
    """Another conversation; one that is still empty serves."""
    await toast(update)
    here, who = services(context), ids(update)
    here.chat.stop(who.chat, who.person)
    talk = await here.store.conversation(who.person, who.chat)
    if await here.store.history(talk.id):
        await here.store.conversation(who.person, who.chat, new=True)
    await answer(update, texts.NEW)


async def stop(update: Update, context: Context) -> None:
    """The running reply was stopped when this arrived; see bot.app."""
    here = services(context)
    stopped = update.update_id in here.stopped
    here.stopped.discard(update.update_id)
    query = update.callback_query
    if query is None:
        if not stopped:
            await answer(update, texts.NOTHING_TO_STOP)
        return
    await toast(update, texts.STOPPED if stopped else texts.NOTHING_TO_STOP)
    message = query.message
    known = message and await here.store.is_placeholder(ids(update).chat, message.message_id)
    if message is not None and not known:
        # Nobody's: Telegram took the message and its answer was lost.
        await context.bot.delete_message(ids(update).chat, message.message_id)
