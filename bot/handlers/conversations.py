"""/conversations: the list, and what can be done with each; /status of the open one."""

from __future__ import annotations

from telegram import Update

from bot import texts
from bot.handlers.context import Context, answer, ids, picked, services, toast, turn_into
from bot.handlers.prompts import ask
from bot.keyboards import Rows, keyboard
from bot.store.talks import Talk


async def conversations(update: Update, context: Context) -> None:
    """The list, newest first."""
    await toast(update)
    text, rows = await _list(update, context)
    await answer(update, text, keyboard(rows) if rows else None)


async def chosen(update: Update, context: Context) -> None:
    """A button of the list, or under one conversation: open, name, delete."""
    await toast(update)
    here, who, parts = services(context), ids(update), picked(update)
    what, number = parts[0], int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0
    if what == "show":
        await _show(update, context, number)
    elif what == "name":
        await ask(update, texts.ASK_NAME.replace("NUMBER", str(number)))
    elif what == "open":
        here.chat.stop(who.chat, who.person)
        opened = await here.store.reopen(who.person, number)
        await turn_into(update, texts.OPENED if opened else texts.NO_TALK)
    elif what == "delete":
        buttons = [[("Delete it", f"talk:gone:{number}"), ("Keep it", f"talk:show:{number}")]]
        await turn_into(update, texts.DELETE_TALK, keyboard(buttons))
    elif what == "gone":
        here.chat.stop(who.chat, who.person)
        gone = await here.store.delete_talk(who.person, number)
        await turn_into(update, texts.DELETED if gone else texts.NO_TALK)
    else:
        text, rows = await _list(update, context)
        await turn_into(update, text, keyboard(rows) if rows else None)


async def rename(update: Update, context: Context) -> None:
    """`/rename NAME` names the open conversation."""
    here, who, name = services(context), ids(update), " ".join(context.args or [])
    talk = await here.store.conversation(who.person, who.chat)
    if not name:
        await ask(update, texts.ASK_NAME.replace("NUMBER", str(talk.id)))
        return
    await here.store.rename(who.person, talk.id, name)
    await answer(update, texts.RENAMED)


async def status(update: Update, context: Context) -> None:
    """This conversation, and for admins the service."""
    here, who = services(context), ids(update)
    agreed = await here.store.has_consented(who.person, texts.CONSENT_VERSION)
    lines = [await _this(update, context)] if agreed else []
    if who.person in here.admins:
        lines.append(await here.describe())
    await answer(update, "\n\n".join(lines) or texts.FIRST_CONSENT, STATUS if agreed else None)


async def _this(update: Update, context: Context) -> str:
    here, who = services(context), ids(update)
    talk = await here.store.conversation(who.person, who.chat)
    history = await here.store.history(talk.id)
    last = next((m for m in reversed(history) if m.prompt_tokens), None)
    return texts.talk_status(len(history), last)


async def _list(update: Update, context: Context) -> tuple[str, Rows]:
    found = await services(context).store.talks(*ids(update))
    rows = [[(_line(talk), f"talk:show:{talk.id}")] for talk in found]
    return (texts.TALKS if rows else texts.NO_TALKS), rows


async def _show(update: Update, context: Context, number: int) -> None:
    found = await services(context).store.talks(*ids(update), most=1000)
    talk = next((each for each in found if each.id == number), None)
    if talk is None:
        await turn_into(update, texts.NO_TALK)
        return
    buttons = [
        [("Open", f"talk:open:{number}"), ("Name", f"talk:name:{number}")],
        [("Delete", f"talk:delete:{number}"), (texts.BACK, "talk:list")],
    ]
    await turn_into(update, _line(talk), keyboard(buttons))


def _line(talk: Talk) -> str:
    return f"{talk.title} · {talk.created:%d %b} · {talk.messages}"


STATUS = keyboard(
    [[("Answer again", "do:retry"), ("Go on", "do:continue")], [("New conversation", "do:new")]]
)
