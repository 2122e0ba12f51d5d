"""Questions that a person answers in words, by Telegram's reply to the question.

The question's own text says what the answer is for, so that nothing needs to
be remembered between the two, whatever restarts.
"""

from __future__ import annotations

import re

from telegram import ForceReply, Update

from bot import texts
from bot.handlers.context import Context, answer, ids, services
from bot.people import SettingRefused

SETTINGS = {
    texts.ASK_COUNTRY: "country",
    texts.ASK_ZONE: "zone",
    texts.ASK_DAYS: "days",
    texts.ASK_CHECK_IN: "check-in",
}


async def ask(update: Update, question: str) -> None:
    """Ask; the person's Telegram opens a reply to it."""
    await answer(update, question, ForceReply(selective=True))


async def answered_prompt(update: Update, context: Context) -> bool:
    """Take a reply to one of the bot's questions; False when the message is anything else.

    Words of danger are never taken for an answer.
    """
    said = update.effective_message
    above = said.reply_to_message if said else None
    if said is None or not said.text or above is None or not above.text or ids(update).chat < 0:
        return False
    if above.from_user is None or above.from_user.id != context.bot.id:
        return False
    here, person = services(context), ids(update).person
    if await here.chat.is_danger(said.text):
        return False
    if name := SETTINGS.get(above.text):
        await answer(update, await change(context, person, name, said.text))
        return True
    if found := re.fullmatch(re.escape(texts.ASK_NAME).replace("NUMBER", r"(\d+)"), above.text):
        named = await here.store.rename(person, int(found[1]), said.text)
        await answer(update, texts.RENAMED if named else texts.NO_TALK)
        return True
    return False


async def change(context: Context, person: int, name: str, value: str) -> str:
    """Change a setting; the sentence to answer with, also when it was refused."""
    try:
        found = await services(context).people.change(person, name, value)
    except SettingRefused as refused:
        return str(refused)
    return texts.settings(found)
