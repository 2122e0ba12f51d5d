"""/questionnaire, its buttons, and words that answer its questions. Handlers translate.

An answer that is danger is answered first, by the same turn as words of danger.
"""

from __future__ import annotations

from dataclasses import replace

from telegram import Update

from bot import texts
from bot.asking import Danger, wordless
from bot.handlers.context import (
    Context,
    answer,
    asked,
    ids,
    picked,
    services,
    standing_of,
    toast,
    turn_into,
)
from bot.keyboards import keyboard
from bot.questionnaires.filling import Answer
from bot.questionnaires.service import Step
from bot.questionnaires.views import View
from bot.safety.types import Level

# Who may not talk begins none; what they have begun, and their results, they keep.
BEGIN = ("choose", "anew")


async def questionnaire(update: Update, context: Context) -> None:
    """What there is, and what waits; `/questionnaire PHQ-9` begins it or goes on with it."""
    await toast(update)
    if await _refused(update, context):
        return
    name = "".join(context.args or [])
    shown = await services(context).questionnaires.named(ids(update).person, name)
    await _show(update, replace(shown, fresh=True))


async def cancel(update: Update, context: Context) -> None:
    """End what is open."""
    await _show(update, await services(context).questionnaires.end(ids(update).person))


async def pressed(update: Update, context: Context) -> None:
    """Any button of a questionnaire; without more in it, the one that leads to the menu."""
    what, *rest = ":".join(picked(update)).split(":")
    if what == "answer" and len(numbers := _numbers(rest)) == 3:
        number, item, value = numbers
        given = Answer(value, update.update_id)
        here, person = services(context).questionnaires, ids(update).person
        await _done(update, context, await here.pressed(person, number, item, given))
    elif what:
        await toast(update)
        if what in BEGIN and await _refused(update, context):
            return
        await _show(update, await _chosen(context, ids(update).person, what, rest))
    else:
        await questionnaire(update, context)


async def answered_question(update: Update, context: Context, words: str, danger: Danger) -> bool:
    """Take words as the answer that they are; False when they are anything else, or danger.

    Words that an operator gets never come here.
    """
    here, who, said = services(context).questionnaires, ids(update), update.effective_message
    edited = update.edited_message is not None
    if who.chat < 0 or said is None or not (edited or here.may_answer(words)) or await danger():
        return False
    if edited:
        view = await here.was_answer(who.person, said.message_id)
        if view is not None:
            await _show(update, view)
        return view is not None
    step = await here.typed(who.person, words, update.update_id, said.message_id)
    if step is not None:
        await _done(update, context, step)
    return step is not None


async def left_waiting(update: Update, context: Context, *, quiet: bool) -> None:
    """Other talk was had: what is open waits, and says so once, never after danger."""
    here, who = services(context), ids(update)
    view = await here.questionnaires.pause(who.person) if who.chat > 0 else None
    if view is None or quiet:
        return
    talk = await here.store.conversation(who.person, who.chat)
    agreed = await here.store.has_consented(who.person, texts.CONSENT_VERSION)
    if agreed and talk.risk < Level.HIGH:
        await _show(update, view)


async def _refused(update: Update, context: Context) -> bool:
    """Whether this person may not begin one now; they are told as when they talk."""
    standing = await standing_of(update, context)
    refusal = await services(context).chat.hooks.refusal(asked(update), standing, wordless)
    if refusal:
        await answer(update, refusal)
    return refusal is not None


async def _chosen(context: Context, person: int, what: str, rest: list[str]) -> View:
    here, numbers = services(context).questionnaires, _numbers(rest)
    match what, rest, numbers:
        case "choose", [key], _:
            return await here.choose(person, key)
        case "anew", [before, key], _ if _numbers([before]):
            return await here.anew(person, int(before), key)
        case "on", _, [number]:
            return await here.go_on(person, number)
        case "back", _, [number, item]:
            return await here.back(person, number, item)
        case "end", _, [number]:
            return await here.end(person, number)
        case "result", _, [number]:
            return await here.result(person, number)
        case "results", _, _:
            return await here.results(person)
    return await here.menu(person)


async def _done(update: Update, context: Context, step: Step) -> None:
    """Danger first, then what comes next."""
    if step.danger:
        await services(context).chat.alarmed(context.bot, replace(asked(update), alarm=True))
    await toast(update, step.word)
    if step.view is not None:
        await _show(update, step.view)


async def _show(update: Update, view: View) -> None:
    markup = keyboard(view.rows) if view.rows else None
    if view.fresh:
        await answer(update, view.text, markup)
    else:
        await turn_into(update, view.text, markup)


def _numbers(words: list[str]) -> list[int]:
    """All of them as whole numbers, or none."""
    good = all(word.isascii() and word.isdigit() and len(word) < 16 for word in words)
    return [int(word) for word in words] if good else []
