"""PTB's application: built for Telegram, for a server of one's own, or for the demo page.

PTB parses updates and finds their handler; the inbox decides when. Knows PTB;
knows nothing of what handlers do.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from telegram import InlineKeyboardMarkup, Update
from telegram.error import BadRequest, InvalidToken, NetworkError
from telegram.ext import Application, ApplicationBuilder, ContextTypes, ExtBot
from telegram.warnings import PTBDeprecationWarning

from bot import raw
from bot.lean_http import LeanRequest
from bot.patience import Backoff
from bot.signing import REFUSED, Signer, nonce_of

App = Application[Any, Any, Any, Any, Any, Any]
FirstPress = Callable[[str, raw.Raw], Awaitable[bool]]
log = logging.getLogger(__name__)


class SigningBot(ExtBot[None]):
    """Signs every button for its chat as it leaves (see bot.signing)."""

    def __init__(self, signer: Signer, token: str, **options: Any) -> None:
        super().__init__(token, **options)
        with self._unfrozen():
            self._signer = signer

    async def _do_post(self, endpoint: str, data: dict[str, Any], **options: Any) -> Any:
        markup, chat = data.get("reply_markup"), data.get("chat_id")
        if isinstance(markup, InlineKeyboardMarkup) and isinstance(chat, int):
            data = {**data, "reply_markup": self._signer.keyboard(markup, chat)}
        return await super()._do_post(endpoint, data, **options)


def build(token: str, server: str | None, signer: Signer) -> App:
    """`server` is the address of a Bot API server, None for Telegram's."""
    # PTB says so each time that Telegram asks to wait, and bot.patience reads the new form.
    warnings.filterwarnings("ignore", ".*attribute `retry_after`", PTBDeprecationWarning)
    bot = SigningBot(signer, token, **addresses(server))
    return ApplicationBuilder().updater(None).bot(bot).build()


def addresses(server: str | None) -> dict[str, Any]:
    """PTB's options: how it calls, and the address of a Bot API server of one's own."""
    requests = {"request": LeanRequest(), "get_updates_request": LeanRequest(1)}
    if server is None:
        return requests
    address = server.rstrip("/")
    return requests | {"base_url": f"{address}/bot", "base_file_url": f"{address}/file/bot"}


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

    def __init__(self, application: App, first_press: FirstPress) -> None:
        self._application, self._first_press = application, first_press
        self._raised: dict[asyncio.Task[Any] | None, Exception] = {}
        application.add_error_handler(self._keep)

    async def __call__(self, update: raw.Raw) -> None:
        """Handle one update; raises what its handler raised."""
        if (nonce := nonce_of(update)) and not await self._first_press(nonce, update):
            update = {**update, "callback_query": {**update["callback_query"], "data": REFUSED}}
        known = Update.de_json(update, self._application.bot)
        await self._application.process_update(known)
        if error := self._raised.pop(asyncio.current_task(), None):
            raise error

    async def _keep(self, _update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
        # A chat's updates are handled in its own task, one after the other.
        if isinstance(context.error, Exception):
            self._raised[asyncio.current_task()] = context.error
