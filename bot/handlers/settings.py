"""/settings: a menu of buttons, and the same in words (`/settings country GB`)."""

from __future__ import annotations

from telegram import Update

from bot import texts
from bot.handlers.context import Context, answer, ids, picked, services, toast, turn_into
from bot.handlers.prompts import SETTINGS, ask, change
from bot.keyboards import Rows, keyboard
from bot.people import PersonSettings, zones_of

QUESTIONS = {name: question for question, name in SETTINGS.items()}
COUNTRIES = ["US", "GB", "CA", "AU", "IE", "IN", "DE", "FR", "ES", "BR", "ID", "NZ"]
ZONES = ["America/New_York", "America/Los_Angeles", "America/Sao_Paulo", "Europe/London",
         "Europe/Berlin", "Asia/Kolkata", "Asia/Jakarta", "Australia/Sydney"]  # fmt: skip
DAYS = [1, 7, 30, 90]
TIMES = ["08:00", "09:00", "12:00", "18:00", "20:00", "21:30"]
ROW = 3


async def settings(update: Update, context: Context) -> None:
    """The menu; with words after it, a change."""
    await toast(update)
    words, person = context.args or [], ids(update).person
    if len(words) >= 2:
        await answer(update, await change(context, person, words[0], " ".join(words[1:])))
        return
    here = services(context)
    await answer(update, texts.settings(await here.people.settings(person)), MENU)


async def menu(update: Update, context: Context) -> None:
    """A button of the menu: a setting's choices, a choice, or the way to write one."""
    await toast(update)
    person, parts = ids(update).person, picked(update)
    now = await services(context).people.settings(person)
    name, value = parts[0] if parts else "", parts[1] if len(parts) > 1 else None
    if value == "?" and name in QUESTIONS:
        await ask(update, QUESTIONS[name])
    elif value is not None:
        await turn_into(update, await change(context, person, name, value), MENU)
    elif name in texts.SETTING_NAMES:
        languages = sorted(services(context).people.languages)
        choices = keyboard(_choices(name, now, languages))
        await turn_into(update, texts.SETTING_HELP[name], choices)
    else:
        await turn_into(update, texts.settings(now), MENU)


def _choices(name: str, now: PersonSettings, languages: list[str]) -> Rows:
    offered: dict[str, list[tuple[str, str]]] = {
        "language": [(each, each) for each in languages],
        "country": [(each, each) for each in [*COUNTRIES, "none"]],
        "zone": [(each, each) for each in zones_of(now.country) or ZONES],
        "days": [(f"{each} d", str(each)) for each in DAYS],
        "streaming": list(texts.STREAMING.items()),
        "check-in": [("off", "off"), *((each, each) for each in TIMES)],
    }
    buttons = [(label, f"set:{name}:{value}") for label, value in offered[name]]
    if name in QUESTIONS:
        buttons.append((texts.OTHER, f"set:{name}:?"))
    wide = 1 if name in ("zone", "streaming") else ROW
    rows = [buttons[at : at + wide] for at in range(0, len(buttons), wide)]
    return [*rows, [(texts.BACK, "set:menu")]]


def _menu() -> Rows:
    buttons = [(label, f"set:{name}") for name, label in texts.SETTING_NAMES.items()]
    return [buttons[at : at + 2] for at in range(0, len(buttons), 2)]


MENU = keyboard(_menu())
