"""Admins: another adapter while people go on chatting. An admin is an id in settings."""

from __future__ import annotations

import asyncio

from telegram import Update

from bot import texts
from bot.handlers.context import Context, answer, ids, services
from model.types import ModelError


async def reload(update: Update, context: Context) -> None:
    """`/reload NAME`, or `/reload none` for the base model alone."""
    here = services(context)
    if ids(update).person not in here.admins:
        await answer(update, texts.NOT_ADMIN)
        return
    current = here.model.status().adapter
    name = context.args[0] if context.args else current
    try:
        status = await here.model.reload(None if name in (None, "none") else name)
    except ModelError as error:
        await answer(update, f"{error}\nThe adapter stays: {current or 'none'}.")
        return
    sha = f", sha256 {status.adapter_sha256[:16]}…" if status.adapter_sha256 else ""
    await answer(update, f"New replies use the adapter {status.adapter or 'none'}{sha}.")


async def adapters(update: Update, context: Context) -> None:
    """What can be named in /reload."""
    here = services(context)
    if ids(update).person not in here.admins:
        await answer(update, texts.NOT_ADMIN)
        return
    found = await asyncio.to_thread(here.model.adapters)
    lines = [f"{a.name}: sha256 {a.sha256[:16]}…, for {a.base} {a.note}".rstrip() for a in found]
    await answer(update, "\n".join(lines) or "There are no adapters in the adapters folder.")
