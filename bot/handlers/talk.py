"""Talk: messages and edited messages, pictures' words, answer again, go on.

Words of danger are answered in any case: before consent, against every check.
"""

from __future__ import annotations

from functools import partial

from telegram import Message, Update

from bot import texts
from bot.handlers.context import (
    Context,
    Services,
    answer,
    asked,
    ids,
    services,
    standing_of,
    toast,
)
from bot.handlers.media import what_it_is
from bot.handlers.prompts import answered_prompt
from bot.handlers.questionnaires import answered_question, left_waiting


async def message(update: Update, context: Context) -> None:
    """Text, in private or meant for the bot; an edited one is answered anew."""
    said = update.effective_message
    if said is None or not said.text or not meant_for(said, context):
        return
    if not update.edited_message and await answered_prompt(update, context):
        return
    await _talk(update, context, said.text)


async def media(update: Update, context: Context) -> None:
    """What is not text: its words are read, and what cannot be read is said."""
    said = update.effective_message
    if said is None or not meant_for(said, context):
        return
    if said.caption:
        await _talk(update, context, said.caption, what_it_is(said, with_words=True))
    elif update.edited_message is None:
        await answer(update, what_it_is(said))


async def retry(update: Update, context: Context) -> None:
    """The last reply again."""
    await toast(update)
    here = services(context)
    if not await _consented(here, update) or not await here.chat.retry(context.bot, asked(update)):
        await answer(update, texts.NOTHING_TO_RETRY)


async def go_on(update: Update, context: Context) -> None:
    """The last reply, continued."""
    await toast(update)
    here = services(context)
    if not await _consented(here, update) or not await here.chat.go_on(context.bot, asked(update)):
        await answer(update, texts.NOTHING_TO_CONTINUE)


async def unknown_command(update: Update, context: Context) -> None:
    """A command that does not exist; in groups it is another bot's."""
    if ids(update).chat > 0:
        await answer(update, texts.UNKNOWN_COMMAND)


def meant_for(said: Message, context: Context) -> bool:
    """In groups: the bot is mentioned, or it is its message that is replied to."""
    if said.chat.type == "private":
        return True
    above = said.reply_to_message
    if above is not None and above.from_user is not None and above.from_user.id == context.bot.id:
        return True
    name = f"@{context.bot.username}".casefold()
    marks = [*said.parse_entities(["mention"]).values()]
    marks += said.parse_caption_entities(["mention"]).values()
    return name in [mark.casefold() for mark in marks]


async def _talk(update: Update, context: Context, words: str, notice: str | None = None) -> None:
    here, wish = services(context), asked(update, _unaddressed(words, context), notice)
    danger = partial(here.chat.is_danger, wish.text)
    standing = await standing_of(update, context)
    if update.edited_message is None and await here.chat.hooks.taken(wish, standing, danger):
        if standing.sitting:
            await left_waiting(update, context, quiet=True)
        return
    if not standing.consented and not await danger():
        await answer(update, _first_consent(wish.group, context))
        return
    refusal = await here.chat.hooks.refusal(wish, standing, danger)
    if refusal is not None:
        # Empty when the person was told a moment ago: a flood is not answered by another.
        if refusal:
            await answer(update, refusal)
        return
    if notice is None and await answered_question(update, context, wish.text, danger):
        return
    turn = here.chat.edited if update.edited_message else here.chat.answer
    await turn(context.bot, wish)
    if standing.sitting:
        await left_waiting(update, context, quiet=await danger())


async def _consented(here: Services, update: Update) -> bool:
    return await here.store.has_consented(ids(update).person, texts.CONSENT_VERSION)


def _first_consent(group: bool, context: Context) -> str:
    if group:
        return texts.FIRST_CONSENT_GROUP.format(name=context.bot.username)
    return texts.FIRST_CONSENT


def _unaddressed(words: str, context: Context) -> str:
    """The words without the bot's own name, unless nothing else is said."""
    return words.replace(f"@{context.bot.username}", "").strip() or words
