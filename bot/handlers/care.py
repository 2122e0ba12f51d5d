"""Hand-over to an operator, and the buttons under a follow-up. Handlers translate, nothing more."""

from __future__ import annotations

from telegram import Update

from bot import care_texts as words
from bot.hand_off import HandOff, NotAllowed, TakenAlready
from bot.handlers.context import Context, answer, ids, picked, services, toast, turn_into
from bot.keyboards import keyboard
from bot.safety.spoken import spoken
from bot.safety.types import Assessment, Level, PersonContext

ALLOW = keyboard([[("Allow it", "operator:yes"), ("Do not allow it", "operator:no")]])


async def operator(update: Update, context: Context) -> None:
    """A person's wish: may the operator be told and take over."""
    row = await services(context).store.hand_over(ids(update).person)
    now = words.ALLOWED_NOW if row is not None and row.allowed else words.NOT_ALLOWED_NOW
    await answer(update, f"{words.OPERATOR}\n\n{now}", ALLOW)


async def operator_chosen(update: Update, context: Context) -> None:
    """The buttons of /operator."""
    await toast(update)
    yes = picked(update)[:1] == ["yes"]
    await services(context).care.hand_off.allow(ids(update).person, allowed=yes)
    await turn_into(update, words.ALLOWED if yes else words.NOT_ALLOWED)


async def handoff(update: Update, context: Context) -> None:
    """An operator's: `/handoff` lists, `/handoff 12345` takes over, `/handoff end` gives back."""
    here, asked = services(context).care.hand_off, (context.args or [""])[0]
    if asked.lower() in ("end", "back", "stop"):
        person = await here.give_back(ids(update).person)
        await answer(update, words.GAVE_BACK if person else words.NOBODY)
    elif asked.isascii() and asked.isdigit():
        await answer(update, await _taken(here, ids(update).person, int(asked)))
    else:
        rows = [f"{person}: level {level}" for person, level in await here.waiting()]
        await answer(update, "\n".join([words.AT_RISK if rows else words.NONE_AT_RISK, *rows]))


async def safe(update: Update, context: Context) -> None:
    """The buttons under a follow-up."""
    await toast(update)
    here, who = services(context), ids(update)
    person = await here.store.person(who.person)
    if picked(update)[:1] == ["yes"]:
        await here.care.follow_ups.safe(who.person)
        await turn_into(update, spoken("glad", person.language))
        return
    found = Assessment(Level.IMMINENT, 1.0, ("suicide.said_not_safe",))
    talk = await here.store.conversation(who.person, who.person)
    await here.store.set_risk(who.person, who.person, int(Level.IMMINENT))
    await here.care.follow_ups.owe(who.person, Level.IMMINENT)
    fixed = here.chat.gate.reply(found, PersonContext(person.language, person.country)).text
    await here.store.add_message(talk.id, "assistant", fixed, model="fixed")
    await answer(update, fixed)


async def _taken(here: HandOff, operator_id: int, person: int) -> str:
    try:
        await here.take(operator_id, person)
    except NotAllowed:
        return words.HAS_NOT_AGREED
    except TakenAlready:
        return words.TAKEN_ALREADY
    return words.YOU_WRITE.format(person=person)
