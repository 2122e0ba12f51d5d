"""What a person can say to the bot, other than talk. Handlers translate, nothing more."""

from __future__ import annotations

import json
from datetime import timedelta

from telegram import InlineKeyboardButton as Button
from telegram import InlineKeyboardMarkup as Keyboard
from telegram import Update

from bot import texts
from bot.handlers.context import Context, answer, ids, services
from bot.safety.lines import rows


async def start(update: Update, context: Context) -> None:
    """What this is, and consent."""
    buttons = [[Button("I am 18 or older and agree", callback_data="consent:yes")],
               [Button("No, thank you", callback_data="consent:no")]]  # fmt: skip
    await answer(update, texts.WELCOME, Keyboard(buttons))


async def help_(update: Update, context: Context) -> None:
    """The commands."""
    await answer(update, texts.HELP)


async def new(update: Update, context: Context) -> None:
    """Another conversation."""
    here = services(context)
    here.chat.stop(ids(update).chat)
    await here.store.person(ids(update).person)
    await here.store.conversation(ids(update).person, ids(update).chat, new=True)
    await answer(update, texts.NEW)


async def stop(update: Update, context: Context) -> None:
    """The running reply was stopped when this arrived; see bot.app."""
    stopped = services(context).stopped.pop(ids(update).chat, False)
    if not stopped:
        await answer(update, texts.NOTHING_TO_STOP)


async def privacy(update: Update, context: Context) -> None:
    """What is stored."""
    await answer(update, texts.PRIVACY.format(days=services(context).retention_days))


async def status(update: Update, context: Context) -> None:
    """This conversation, and for admins the service."""
    here = services(context)
    talk = await here.store.conversation(ids(update).person, ids(update).chat)
    history = await here.store.history(talk.id)
    left_out = next((m.turns_left_out for m in reversed(history) if m.turns_left_out), 0)
    lines = [
        f"{len(history)} messages in this conversation; "
        f"the oldest {left_out} no longer fit into what the model reads."
    ]
    if ids(update).person in here.admins:
        lines.append(here.describe())
    await answer(update, "\n\n".join(lines))


async def settings(update: Update, context: Context) -> None:
    """Country and retention; `/settings country GB`, `/settings days 30`."""
    here, person_id = services(context), ids(update).person
    await here.store.person(person_id)
    words = context.args or []
    if len(words) == 2 and words[0] == "country" and rows(words[1]):
        await here.store.set_person(person_id, country=words[1].upper())
    elif len(words) == 2 and words[0] == "days" and words[1].isdigit():
        days = min(max(int(words[1]), 1), here.retention_days)
        await here.store.set_person(person_id, retention_days=days)
    elif words:
        await answer(update, "Write for example: /settings country GB or /settings days 30")
        return
    person = await here.store.person(person_id)
    days = person.retention_days or here.retention_days
    await answer(update, texts.SETTINGS.format(country=person.country or "not set", days=days))


async def export(update: Update, context: Context) -> None:
    """Everything that is stored, as a file."""
    body = await services(context).store.export(ids(update).person)
    data = json.dumps(body, ensure_ascii=False, indent=1).encode()
    await context.bot.send_document(ids(update).chat, data, filename="lanner.json")


async def forget_me(update: Update, context: Context) -> None:
    """Asks before erasing."""
    buttons = [[Button("Erase everything", callback_data="forget:yes"),
                Button("Keep it", callback_data="forget:no")]]  # fmt: skip
    await answer(update, texts.FORGET, Keyboard(buttons))


async def button(update: Update, context: Context) -> None:
    """Consent and erasure."""
    query = update.callback_query
    if query is None:
        return
    await query.answer()
    here, person = services(context), ids(update).person
    if query.data == "consent:yes":
        await here.store.person(person, (query.from_user.language_code or "en")[:2])
        await here.store.consent(person, texts.CONSENT_VERSION)
        await query.edit_message_text(texts.WELCOME)
        await context.bot.send_message(ids(update).chat, texts.AGREED)
    elif query.data == "forget:yes":
        here.chat.stop(ids(update).chat)
        await here.store.forget(person)
        await query.edit_message_text(texts.FORGOTTEN)
    else:
        declined = texts.DECLINED if query.data == "consent:no" else texts.KEPT
        await query.edit_message_text(declined)


def age(seconds: float | None) -> str:
    """A duration in words for a status line."""
    return "never" if seconds is None else str(timedelta(seconds=round(seconds)))
