"""Methods that change or remove what stands in a chat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.playground.arguments import Arguments
from bot.playground.chats import BOT, Chat, Message
from bot.playground.errors import bad
from bot.playground.ground import Ground
from bot.playground.methods.parts import chat_of, formatted, keyboard, message_of, own_message
from bot.playground.text import CAPTION_LIMIT

SAME = (
    "message is not modified: specified new message content and reply markup are exactly the "
    "same as a current content and reply markup of the message"
)
DELETABLE_S = 48 * 3600


def _change(world: Ground, chat: Chat, message: Message, new: dict[str, Any]) -> Message:
    """Put the given keys in, or take them out where they are None."""
    if all(message.get(key) == value for key, value in new.items()):
        raise bad(SAME)
    world.limits.count(chat.id)
    for key, value in new.items():
        message.pop(key, None)
        if value is not None:
            message[key] = value
    message["edit_date"] = int(world.clock())
    world.touch(chat, message["message_id"])
    return dict(message)


def _text(world: Ground, arguments: Arguments) -> Message:
    chat, message = own_message(world, arguments)
    if "text" not in message:
        raise bad("there is no text in the message to edit")
    text, entities = formatted(arguments, too_long="MESSAGE_TOO_LONG")
    markup = keyboard(arguments)
    new = {"text": text, "entities": entities or None, "reply_markup": markup}
    return _change(world, chat, message, new)


def _caption(world: Ground, arguments: Arguments) -> Message:
    chat, message = own_message(world, arguments)
    if "text" in message:
        raise bad("there is no caption in the message to edit")
    caption, entities = formatted(
        arguments, empty=True, limit=CAPTION_LIMIT, key="caption", marks="caption_entities",
        too_long="message caption is too long",
    )  # fmt: skip
    return _change(world, chat, message, {
        "caption": caption or None, "caption_entities": entities or None,
        "reply_markup": keyboard(arguments),
    })  # fmt: skip


def _markup(world: Ground, arguments: Arguments) -> Message:
    chat, message = own_message(world, arguments)
    return _change(world, chat, message, {"reply_markup": keyboard(arguments)})


def _delete(world: Ground, arguments: Arguments) -> bool:
    chat = chat_of(world, arguments)
    message = message_of(chat, arguments, "delete")
    theirs = message["from"]["id"] != BOT["id"]
    if world.clock() - message["date"] > DELETABLE_S or (theirs and chat.group):
        raise bad("message can't be deleted")
    world.remove(chat, message["message_id"])
    return True


def _delete_many(world: Ground, arguments: Arguments) -> bool:
    chat, numbers = chat_of(world, arguments), arguments.objects("message_ids")
    if not 1 <= len(numbers) <= 100:
        raise bad("there must be from 1 to 100 message identifiers")
    for number in numbers:
        # Those that are gone already are passed over, as at Telegram.
        if number in chat.messages:
            world.remove(chat, number)
    return True


def _pin(world: Ground, arguments: Arguments) -> bool:
    chat = chat_of(world, arguments)
    chat.pinned = message_of(chat, arguments, "pin")["message_id"]
    world.touch(chat)
    return True


def _unpin(world: Ground, arguments: Arguments) -> bool:
    chat = chat_of(world, arguments)
    if arguments.has("message_id") and chat.pinned != arguments.number("message_id"):
        raise bad("message to unpin not found")
    chat.pinned = None
    world.touch(chat)
    return True


METHODS: dict[str, Callable[[Ground, Arguments], Any]] = {
    "editMessageText": _text,
    "editMessageCaption": _caption,
    "editMessageReplyMarkup": _markup,
    "deleteMessage": _delete,
    "deleteMessages": _delete_many,
    "pinChatMessage": _pin,
    "unpinChatMessage": _unpin,
    "unpinAllChatMessages": _unpin,
}
