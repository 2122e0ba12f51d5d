"""Bot API methods, as strict as Telegram where it bites.

Each takes the world and the call's arguments and returns the result or raises
ApiError. Knows nothing of HTTP or of the bot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bot.playground.state import BOT, Chat, World

Arguments = dict[str, Any]
LIMIT = 4096


class ApiError(Exception):
    """Telegram's error answer."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code, self.description, self.retry_after = code, description, retry_after


def units(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def call(world: World, method: str, arguments: Arguments) -> Any:
    """Run one method; names are matched without regard to case."""
    found = METHODS.get(method.lower())
    if found is None:
        raise ApiError(404, "Not Found: method not found")
    return found(world, arguments)


def _chat(world: World, arguments: Arguments) -> Chat:
    try:
        return world.chats[int(arguments["chat_id"])]
    except (KeyError, ValueError):
        raise ApiError(400, "Bad Request: chat not found") from None


def _text(arguments: Arguments) -> str:
    text = str(arguments.get("text", ""))
    if not text.strip():
        raise ApiError(400, "Bad Request: message text is empty")
    if units(text) > LIMIT:
        raise ApiError(400, "Bad Request: message is too long")
    return text


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _content(arguments: Arguments) -> dict[str, Any]:
    text = _text(arguments)
    content: dict[str, Any] = {"text": text}
    entities = _json(arguments.get("entities") or [])
    if len(entities) > 100:
        raise ApiError(400, "Bad Request: too many entities")
    for entity in entities:
        end = entity["offset"] + entity["length"]
        if entity["offset"] < 0 or entity["length"] <= 0 or end > units(text):
            raise ApiError(400, "Bad Request: entity offset is out of range")
    if entities:
        content["entities"] = entities
    if markup := _json(arguments.get("reply_markup")):
        _check_buttons(markup)
        content["reply_markup"] = markup
    return content


def _check_buttons(markup: dict[str, Any]) -> None:
    for button in (b for row in markup.get("inline_keyboard", []) for b in row):
        if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
            raise ApiError(400, "Bad Request: BUTTON_DATA_INVALID")


def _send_message(world: World, arguments: Arguments) -> Any:
    return world.add(_chat(world, arguments), BOT, **_content(arguments))


def _edit_text(world: World, arguments: Arguments) -> Any:
    message = _own(world, arguments)
    new = _content(arguments)
    same = all(message.get(k) == new.get(k) for k in ("text", "entities", "reply_markup"))
    if same:
        raise ApiError(400, "Bad Request: message is not modified")
    for key in ("text", "entities", "reply_markup"):
        message.pop(key, None)
    message.update(new)
    world.touch()
    return message


def _edit_markup(world: World, arguments: Arguments) -> Any:
    message = _own(world, arguments)
    markup = _json(arguments.get("reply_markup"))
    if message.get("reply_markup") == markup:
        raise ApiError(400, "Bad Request: message is not modified")
    message.pop("reply_markup", None)
    if markup:
        message["reply_markup"] = markup
    world.touch()
    return message


def _own(world: World, arguments: Arguments) -> dict[str, Any]:
    message = _chat(world, arguments).messages.get(int(arguments.get("message_id", 0)))
    if message is None:
        raise ApiError(400, "Bad Request: message to edit not found")
    if not message["from"]["is_bot"]:
        raise ApiError(400, "Bad Request: message can't be edited")
    return message


def _delete(world: World, arguments: Arguments) -> bool:
    if _chat(world, arguments).messages.pop(int(arguments["message_id"]), None) is None:
        raise ApiError(400, "Bad Request: message to delete not found")
    world.touch()
    return True


def _draft(world: World, arguments: Arguments) -> bool:
    if not int(arguments.get("draft_id", 0)):
        raise ApiError(400, "Bad Request: draft_id must be non-zero")
    text = str(arguments.get("text", ""))
    if units(text) > LIMIT:
        raise ApiError(400, "Bad Request: message is too long")
    _chat(world, arguments).draft = text or "Thinking…"
    world.touch()
    return True


def _action(world: World, arguments: Arguments) -> bool:
    _chat(world, arguments).action = str(arguments.get("action"))
    world.touch()
    return True


def _answer(world: World, arguments: Arguments) -> bool:
    if arguments.get("callback_query_id") not in world.callbacks:
        raise ApiError(400, "Bad Request: query is too old or query ID is invalid")
    world.callbacks.discard(arguments["callback_query_id"])
    return True


def _document(world: World, arguments: Arguments) -> Any:
    name, data = arguments.get("document") or ("", b"")
    if not data:
        raise ApiError(400, "Bad Request: there is no document in the request")
    chat = _chat(world, arguments)
    number = f"file{len(world.files) + 1}"
    world.files[number] = (name, data)
    document = {
        "file_id": number,
        "file_unique_id": number,
        "file_name": name,
        "file_size": len(data),
    }
    return world.add(chat, BOT, document=document)


def _get_file(world: World, arguments: Arguments) -> Any:
    number = str(arguments.get("file_id"))
    if number not in world.files:
        raise ApiError(400, "Bad Request: invalid file_id")
    return {"file_id": number, "file_unique_id": number, "file_path": number}


def _set_commands(world: World, arguments: Arguments) -> bool:
    scope = _json(arguments.get("scope") or {"type": "default"})
    key = f"chat:{scope['chat_id']}" if scope["type"] == "chat" else "default"
    world.commands[key] = _json(arguments["commands"])
    world.touch()
    return True


METHODS: dict[str, Callable[[World, Arguments], Any]] = {
    "getme": lambda _w, _a: BOT | {"can_join_groups": False},
    "sendmessage": _send_message,
    "editmessagetext": _edit_text,
    "editmessagereplymarkup": _edit_markup,
    "deletemessage": _delete,
    "sendmessagedraft": _draft,
    "sendchataction": _action,
    "answercallbackquery": _answer,
    "senddocument": _document,
    "getfile": _get_file,
    "setmycommands": _set_commands,
    "deletewebhook": lambda _w, _a: True,
}
