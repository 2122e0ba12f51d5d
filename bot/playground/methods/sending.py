"""Methods that put a message into a chat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.playground.arguments import Arguments, Upload
from bot.playground.chats import BOT, Chat, Message
from bot.playground.errors import PersonError, bad
from bot.playground.ground import Ground
from bot.playground.media import described
from bot.playground.methods.parts import chat_of, formatted, keyboard, message_of, reply
from bot.playground.text import CAPTION_LIMIT

MOST_BYTES, MOST_PHOTO_BYTES = 50 << 20, 10 << 20
Method = Callable[[Ground, Arguments], Any]


def _send(world: Ground, arguments: Arguments, chat: Chat, content: dict[str, Any]) -> Message:
    """The checks that come last, so that a refused call counts nowhere, then the message."""
    content = reply(chat, arguments) | content
    if markup := keyboard(arguments):
        content["reply_markup"] = markup
    world.limits.count(chat.id)
    return dict(world.add(chat, BOT, **content))


def _message(world: Ground, arguments: Arguments) -> Message:
    chat = chat_of(world, arguments)
    text, entities = formatted(arguments)
    content: dict[str, Any] = {"text": text} | ({"entities": entities} if entities else {})
    return _send(world, arguments, chat, content)


def _file(kind: str) -> Method:
    def method(world: Ground, arguments: Arguments) -> Message:
        chat = chat_of(world, arguments)
        given = arguments.upload(kind)
        if isinstance(given, str):
            given = _known(world, given)
        if given is None or not given.data:
            raise bad(f"there is no {kind} in the request")
        if len(given.data) > (MOST_PHOTO_BYTES if kind == "photo" else MOST_BYTES):
            raise bad(f"file of size {len(given.data)} bytes is too big for a {kind}")
        caption, entities = formatted(
            arguments, empty=True, limit=CAPTION_LIMIT, key="caption", marks="caption_entities",
            too_long="message caption is too long",
        )  # fmt: skip
        try:
            content = described(kind, world.store(given.name, given.data), given.name, given.data)
        except PersonError:
            raise bad("IMAGE_PROCESS_FAILED") from None
        content |= {"caption": caption} if caption else {}
        content |= {"caption_entities": entities} if entities else {}
        return _send(world, arguments, chat, content)

    return method


def _known(world: Ground, number: str) -> Upload:
    """A file that is here already, named by its id. Addresses are not fetched."""
    if number.startswith(("http://", "https://")):
        raise bad("wrong type of the web page content")
    found = world.files.get(number)
    if found is None:
        raise bad("wrong file identifier/HTTP URL specified")
    return Upload(found.name, found.data)


def _source(world: Ground, arguments: Arguments, purpose: str) -> Message:
    chat = world.chats.get(arguments.number("from_chat_id"))
    if chat is None:
        raise bad("chat not found")
    return message_of(chat, arguments, purpose)


SHOWN = ("text", "entities", "caption", "caption_entities", "photo", "document", "voice", "sticker")


def _copy(world: Ground, arguments: Arguments) -> dict[str, int]:
    chat, source = chat_of(world, arguments), _source(world, arguments, "copy")
    content = {key: source[key] for key in SHOWN if key in source}
    return {"message_id": _send(world, arguments, chat, content)["message_id"]}


def _forward(world: Ground, arguments: Arguments) -> Message:
    chat, source = chat_of(world, arguments), _source(world, arguments, "forward")
    origin = {"type": "user", "sender_user": source["from"], "date": source["date"]}
    content = {key: source[key] for key in SHOWN if key in source} | {"forward_origin": origin}
    return _send(world, arguments, chat, content)


METHODS: dict[str, Method] = {
    "sendMessage": _message,
    "sendPhoto": _file("photo"),
    "sendDocument": _file("document"),
    "sendVoice": _file("voice"),
    "sendSticker": _file("sticker"),
    "copyMessage": _copy,
    "forwardMessage": _forward,
}
