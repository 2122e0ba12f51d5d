"""Admins: another adapter or base model while people go on chatting.

An admin is an id in settings, which the table checks before any of these
runs. Every action is kept in the audit, without anyone's words.
"""

from __future__ import annotations

import asyncio

from telegram import Update

from bot import texts
from bot.handlers.context import Context, answer, ids, picked, services, toast
from bot.keyboards import keyboard
from model.types import AdapterInfo, ModelError

SHOWN = 20


async def reload(update: Update, context: Context) -> None:
    """`/reload [NAME|none] [force]`, or `/reload base NAME`."""
    words = list(context.args or [])
    if words[:1] == ["base"]:
        await _reload_base(update, context, " ".join(words[1:]))
        return
    force = "force" in words[1:]
    current = services(context).model.status().adapter
    await _reload(update, context, words[0] if words else current or "none", force=force)


async def adapters(update: Update, context: Context) -> None:
    """What can be named in /reload, with the verdict of its training."""
    model = services(context).model
    found = (await asyncio.to_thread(model.adapters))[:SHOWN]
    current = model.status().adapter
    lines = [_line(each, current) for each in found]
    rows = [[(f"Load {each.name}"[:60], f"load:{each.name}")] for each in found
            if len(f"load:{each.name}".encode()) <= 64]  # fmt: skip
    await answer(update, "\n\n".join(lines) or texts.NO_ADAPTERS, keyboard(rows))


async def load(update: Update, context: Context) -> None:
    """A button under /adapters."""
    await toast(update)
    await _reload(update, context, ":".join(picked(update)), force=False)


async def _reload(update: Update, context: Context, name: str, *, force: bool) -> None:
    here = services(context)
    current = here.model.status().adapter
    try:
        status = await here.model.reload(None if name == "none" else name, force=force)
    except ModelError as error:
        await _keep(update, context, "reload refused", name)
        await answer(update, f"{error}\nThe adapter stays: {current or 'none'}.")
        return
    await _keep(update, context, "reload forced" if force else "reload", name)
    sha = f", sha256 {status.adapter_sha256[:16]}…" if status.adapter_sha256 else ""
    await answer(update, f"New replies use the adapter {status.adapter or 'none'}{sha}.")


async def _reload_base(update: Update, context: Context, name: str) -> None:
    here = services(context)
    if not name:
        await answer(update, texts.WHICH_BASE)
        return
    await answer(update, texts.LOADING_BASE.format(name=name))
    try:
        status = await here.model.reload_base(name)
    except ModelError as error:
        await _keep(update, context, "reload base refused", name)
        await answer(update, f"{error}\nThe model stays: {here.model.status().model}.")
        return
    await _keep(update, context, "reload base", name)
    await answer(update, f"New replies are written by {status.model}.")


async def _keep(update: Update, context: Context, action: str, detail: str) -> None:
    await services(context).store.record_action(ids(update).person, action, detail[:200])


def _line(found: AdapterInfo, current: str | None) -> str:
    mark = "▶ " if found.name == current else ""
    verdict = f", {found.verdict}" if found.verdict else ", not judged"
    lines = [f"{mark}{found.name}{verdict}: sha256 {found.sha256[:16]}…, for {found.base}"]
    return "\n".join([*lines, *([found.note] if found.note else []), *found.reasons])
