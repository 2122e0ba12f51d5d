"""Admins: who may talk, maintenance, messages to everybody, and the audit.

An admin is an id in settings, which the table checks before any of these runs.
Every action is kept in the audit, without anyone's words.
"""

from __future__ import annotations

from datetime import timedelta

from telegram import Update

from bot.admission import MAINTENANCE
from bot.clock import system_clock
from bot.handlers.context import Context, answer, ids, services

SHOWN = 15
USAGE = {
    "ban": "Write: /ban ID, or /ban ID DAYS",
    "unban": "Write: /unban ID",
    "invite": "Write: /invite, or /invite USES DAYS",
    "maintenance": "Write: /maintenance on, or /maintenance off",
    "broadcast": "Write: /broadcast and the message, or /broadcast stop",
}


async def ban(update: Update, context: Context) -> None:
    """`/ban ID [DAYS]`: they are not answered, but for danger and their own data."""
    here, numbers = services(context), _numbers(context)
    if not numbers or numbers[0] in here.admins:
        await answer(update, USAGE["ban"] if not numbers else "An admin cannot be banned.")
        return
    until = system_clock() + timedelta(days=min(numbers[1], 36500)) if numbers[1:] else None
    await here.store.ban(numbers[0], until)
    await _keep(update, context, "ban", str(numbers[1:] or ""), numbers[0])
    await answer(update, f"{numbers[0]} is banned{f' until {until:%Y-%m-%d}' if until else ''}.")


async def unban(update: Update, context: Context) -> None:
    """`/unban ID`."""
    numbers = _numbers(context)
    if not numbers:
        await answer(update, USAGE["unban"])
        return
    was = await services(context).store.unban(numbers[0])
    await _keep(update, context, "unban", "", numbers[0])
    await answer(
        update, f"{numbers[0]} may talk again." if was else f"{numbers[0]} was not banned."
    )


async def invite(update: Update, context: Context) -> None:
    """`/invite [USES [DAYS]]`: a code, shown once."""
    numbers = _numbers(context) or [1]
    uses, days = numbers[0], numbers[1] if numbers[1:] else 7
    if not (1 <= uses <= 10_000 and 1 <= days <= 365):
        await answer(update, USAGE["invite"])
        return
    code = await services(context).store.invite(uses, days)
    await _keep(update, context, "invite", f"{uses} uses, {days} days")
    link = f"https://t.me/{context.bot.username}?start={code}"
    await answer(update, f"For {uses} people, for {days} days: {link}\nor: /start {code}")


async def redeem(update: Update, context: Context) -> None:
    """`/start CODE`: before the words of /start come, which follow in any case."""
    if not context.args or ids(update).chat < 0:
        return
    good = await services(context).store.redeem(context.args[0], ids(update).person)
    await answer(update, "Your invitation is good." if good else "This code is not good any more.")


async def maintenance(update: Update, context: Context) -> None:
    """`/maintenance on|off`: danger is answered all the same."""
    wish = (context.args or [""])[0].casefold()
    if wish not in ("on", "off"):
        now = await services(context).store.switched(MAINTENANCE) or "off"
        await answer(update, f"Maintenance is {now}. {USAGE['maintenance']}")
        return
    await services(context).store.switch(MAINTENANCE, wish)
    await _keep(update, context, "maintenance", wish)
    await answer(update, f"Maintenance is {wish}.")


async def broadcast(update: Update, context: Context) -> None:
    """`/broadcast TEXT` to all who agreed; `/broadcast stop` ends it."""
    store = services(context).store
    said = update.effective_message.text if update.effective_message else ""
    words = (said or "").partition(" ")[2].strip()
    if words == "stop":
        stopped = await store.end_broadcast("stopped")
        await _keep(update, context, "broadcast stopped")
        await answer(update, "The broadcast is stopped." if stopped else "There was none.")
    elif not words or await store.open_broadcast() is not None:
        await answer(update, USAGE["broadcast"] if not words else "One is under way already.")
    else:
        people = await store.begin_broadcast(words[:4000])
        await _keep(update, context, "broadcast", f"{people} people")
        await answer(update, f"It goes to {people} people, ten a second.")


async def audit(update: Update, context: Context) -> None:
    """The last things that admins did."""
    actions = (await services(context).store.actions())[-SHOWN:]
    lines = [
        f"{a.created:%Y-%m-%d %H:%M} {a.admin_id or 'erased'}: {a.action} {a.detail}"
        + (f" ({a.subject_id})" if a.subject_id else "")
        for a in actions
    ]
    await answer(update, "\n".join(lines) or "Nothing was done yet.")


def _numbers(context: Context) -> list[int]:
    """The command's arguments, if all are whole numbers that fit."""
    words = context.args or []
    good = all(word.isascii() and word.isdigit() and len(word) < 16 for word in words)
    return [int(word) for word in words] if good else []


async def _keep(
    update: Update, context: Context, action: str, detail: str = "", subject: int | None = None
) -> None:
    await services(context).store.record_action(ids(update).person, action, detail, subject)
