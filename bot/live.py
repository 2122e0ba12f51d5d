"""What a person sees while the model writes: a draft, an edited message, or "typing…".

    draft   sendMessageDraft, private chats alone; it lives 30 s and is renewed
    edit    the turn's placeholder is edited, with a button that stops
    off     typing only

A refused draft falls back to edits, refused edits to typing. Nothing here can
delay or lose a reply: the text that counts goes through the outbox. Knows
Telegram's methods; knows nothing of the model or of the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from telegram import Bot, InlineKeyboardMarkup
from telegram.constants import ChatAction
from telegram.error import BadRequest, RetryAfter, TelegramError

from bot.formatting import formatted, parts
from bot.patience import pause_s

Mode = Literal["draft", "edit", "off"]
# Seconds between two pictures of the text, and how long what is shown lives unrenewed.
DRAFT_S, EDIT_S, GROUP_S = 0.7, 1.2, 3.5
DRAFT_LIFE_S, TYPING_LIFE_S = 20.0, 4.0


class LiveView:
    """An async context around the writing of one reply. `place` gives the placeholder's id."""

    def __init__(
        self,
        bot: Bot,
        chat_id: int,
        mode: Mode,
        draft_id: int,
        place: Callable[[], Awaitable[int]],
        stop_button: InlineKeyboardMarkup,
    ) -> None:
        self._bot, self._chat, self.mode, self._draft = bot, chat_id, mode, draft_id or 1
        self._place, self._button = place, stop_button
        self._wanted = self._shown = ""
        self._shown_at = self._typed_at = float("-inf")
        self._changed, self._ended = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="live view")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Wait for the picture on its way: it must not arrive after the reply that stays."""
        assert self._task is not None  # noqa: S101
        self._ended.set()
        self._changed.set()
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def show(self, text: str) -> None:
        """Show this text as soon as Telegram's limits allow."""
        self._wanted = text
        self._changed.set()

    async def _run(self) -> None:
        while not self._ended.is_set():
            try:
                await self._picture()
            except RetryAfter as refused:
                await self._rest(pause_s(refused))
            except BadRequest as error:
                if "not modified" not in error.message:
                    self._fall_back()
            except TelegramError:
                # A dead network: the next picture may pass.
                await self._rest(EDIT_S)
            await self._until_due()

    async def _picture(self) -> None:
        now = time.monotonic()
        if self.mode == "draft":
            old = now - self._shown_at >= DRAFT_LIFE_S
            if old or (self._wanted != self._shown and now - self._shown_at >= DRAFT_S):
                await self._show_draft(self._wanted)
            return
        if now - self._typed_at >= TYPING_LIFE_S:
            self._typed_at = now
            await self._bot.send_chat_action(self._chat, ChatAction.TYPING)
        if self.mode == "edit" and self._wanted != self._shown and self._due_s() <= 0:
            await self._show_edit(self._wanted)

    async def _show_draft(self, text: str) -> None:
        self._shown, self._shown_at = text, time.monotonic()
        nice = formatted(_tail(text)) if text.strip() else None
        await self._bot.send_message_draft(
            chat_id=self._chat,
            draft_id=self._draft,
            text=nice.text if nice else "",
            entities=(nice.entities or None) if nice else None,
            # Newer clients show a button for it; PTB does not know the parameter yet.
            api_kwargs={"can_stop": True},
        )

    async def _show_edit(self, text: str) -> None:
        self._shown, self._shown_at = text, time.monotonic()
        nice = formatted(_tail(text))
        await self._bot.edit_message_text(
            nice.text,
            chat_id=self._chat,
            message_id=await self._place(),
            entities=nice.entities or None,
            reply_markup=self._button,
        )

    def _fall_back(self) -> None:
        self.mode = "edit" if self.mode == "draft" else "off"
        self._shown, self._shown_at = "", float("-inf")

    def _due_s(self) -> float:
        """Seconds until something is to be shown: new text, or what would fade."""
        now = time.monotonic()
        if self.mode == "draft":
            every, life = DRAFT_S, self._shown_at + DRAFT_LIFE_S
        else:
            every, life = (EDIT_S if self._chat > 0 else GROUP_S), self._typed_at + TYPING_LIFE_S
        if self.mode != "off" and self._wanted != self._shown:
            return min(self._shown_at + every, life) - now
        return life - now

    async def _rest(self, seconds: float) -> None:
        """Nothing but the end shortens what Telegram or the network imposes."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    async def _until_due(self) -> None:
        while not self._ended.is_set() and (left := self._due_s()) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)


def _tail(text: str) -> str:
    """What fits into one message; blank text cannot be shown."""
    return (parts(text) or ["…"])[-1]
