"""PTB's application: built for Telegram, for a server of one's own, or for the demo page.

PTB parses updates and finds their handler; the inbox decides when. Knows PTB;
knows nothing of what handlers do.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from telegram import Update
from telegram.error import BadRequest, InvalidToken, NetworkError
from telegram.ext import Application, ApplicationBuilder, ContextTypes

from bot import raw
from bot.patience import Backoff

App = Application[Any, Any, Any, Any, Any, Any]
log = logging.getLogger(__name__)


def build(token: str, server: str | None) -> App:
    """`server` is the address of a Bot API server, None for Telegram's."""
    builder = ApplicationBuilder().updater(None).token(token)
    if server is not None:
        address = server.rstrip("/")
        builder = builder.base_url(f"{address}/bot").base_file_url(f"{address}/file/bot")
    return builder.build()


async def reach(application: App) -> None:
    """Greet the server, however long that takes; raises InvalidToken."""
    backoff = Backoff()
    while True:
        try:
            await application.initialize()
        except (InvalidToken, BadRequest):
            raise
        except NetworkError as error:
            log.warning("Telegram cannot be reached (%s); trying again.", type(error).__name__)
            await backoff.wait()
        else:
            return


class Handling:
    """Hands updates to PTB's handlers and gives back what they raise, which PTB would log."""

    def __init__(self, application: App) -> None:
        self._application = application
        self._raised: dict[asyncio.Task[Any] | None, Exception] = {}
        application.add_error_handler(self._keep)

    async def __call__(self, update: raw.Raw) -> None:
        """Handle one update; raises what its handler raised."""
        known = Update.de_json(update, self._application.bot)
        await self._application.process_update(known)
        if error := self._raised.pop(asyncio.current_task(), None):
            raise error

    async def _keep(self, _update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
        # A chat's updates are handled in its own task, one after the other.
        if isinstance(context.error, Exception):
            self._raised[asyncio.current_task()] = context.error
