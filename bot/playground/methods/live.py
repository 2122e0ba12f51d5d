"""Methods whose effect passes: drafts, actions, answers to presses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.playground.arguments import Arguments
from bot.playground.chats import ACTION_S, DRAFT_S, Draft
from bot.playground.errors import bad
from bot.playground.ground import Ground
from bot.playground.methods.parts import chat_of, formatted
from bot.playground.text import units

ACTIONS = frozenset({
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice",
    "upload_document", "choose_sticker", "find_location", "record_video_note",
    "upload_video_note", "cancel",
})  # fmt: skip


def _draft(world: Ground, arguments: Arguments) -> bool:
    text, entities = formatted(arguments, empty=True)
    chat = chat_of(world, arguments)
    if chat.group:
        raise bad("TEXTDRAFT_PEER_INVALID")
    if not arguments.number("draft_id"):
        # That zero is refused is documented; Telegram's words for it are not.
        raise bad("draft_id must be non-zero")
    chat.live = Draft(
        arguments.number("draft_id"), text, entities, world.clock() + DRAFT_S,
        arguments.flag("can_stop"), arguments.flag("keep_on_stop"),
    )  # fmt: skip
    world.touch(chat)
    return True


def _action(world: Ground, arguments: Arguments) -> bool:
    chat, action = chat_of(world, arguments), arguments.text("action")
    if action not in ACTIONS:
        raise bad("wrong parameter action in request")
    chat.acting = None if action == "cancel" else (action, world.clock() + ACTION_S)
    world.touch(chat)
    return True


def _answer(world: Ground, arguments: Arguments) -> bool:
    text = arguments.text("text")
    if units(text) > 200:
        raise bad("MESSAGE_TOO_LONG")
    number, alert = arguments.text("callback_query_id"), arguments.flag("show_alert")
    if not world.press_answered(number, text, alert):
        raise bad("query is too old and response timeout expired or query ID is invalid")
    return True


METHODS: dict[str, Callable[[Ground, Arguments], Any]] = {
    "sendMessageDraft": _draft,
    "sendChatAction": _action,
    "answerCallbackQuery": _answer,
}
