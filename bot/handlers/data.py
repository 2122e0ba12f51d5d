"""A person's data: what is stored, all of it as files, and its end."""

from __future__ import annotations

from telegram import InputFile, Update
from telegram.error import Forbidden

from bot import texts
from bot.handlers.context import Context, answer, ids, picked, services, toast, turn_into
from bot.keyboards import FORGET, PRIVACY
from bot.patience import patiently


async def privacy(update: Update, context: Context) -> None:
    """What is stored, for how long, and what can be done about it."""
    await toast(update)
    kept = await services(context).people.retention(ids(update).person)
    await answer(update, texts.PRIVACY.format(days=kept), PRIVACY)


async def export(update: Update, context: Context) -> None:
    """Everything that is stored, for reading and for programs."""
    await toast(update)
    files = await services(context).privacy.export(ids(update).person)
    for name, data in (("lanner.html", files.page), ("lanner.json", files.data)):
        try:
            await patiently(
                lambda name=name, data=data: context.bot.send_document(  # type: ignore[misc]
                    ids(update).chat, InputFile(data, name)
                )
            )
        except Forbidden:
            return


async def forget_me(update: Update, context: Context) -> None:
    """Asks before erasing."""
    await toast(update)
    await answer(update, texts.FORGET, FORGET)


async def forget(update: Update, context: Context) -> None:
    """The answer to that."""
    await toast(update)
    if picked(update)[:1] != ["yes"]:
        await turn_into(update, texts.KEPT)
        return
    here, who = services(context), ids(update)
    here.chat.stop(who.chat, who.person)
    gone = await here.privacy.forget_me(who.person)
    await turn_into(update, texts.FORGOTTEN if gone else texts.FORGOTTEN_SOON)
