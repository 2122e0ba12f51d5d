"""What several methods read alike: the chat, the message, formatted text, keyboards."""

from __future__ import annotations

from typing import Any

from bot.playground import text as words
from bot.playground.arguments import Arguments
from bot.playground.chats import BOT, Chat, Message
from bot.playground.errors import ApiError, bad
from bot.playground.ground import Ground

EMPTY = "message text is empty"


def chat_of(world: Ground, arguments: Arguments) -> Chat:
    """The chat that is named, unless its person blocked the bot."""
    if not arguments.has("chat_id"):
        raise bad("chat_id is empty")
    found = world.chats.get(arguments.number("chat_id"))
    if found is None:
        raise bad("chat not found")
    if found.blocked:
        raise ApiError(403, "Forbidden: bot was blocked by the user")
    return found


def message_of(chat: Chat, arguments: Arguments, purpose: str, key: str = "message_id") -> Message:
    """A message of the chat; `purpose` completes Telegram's sentence when there is none."""
    if not arguments.has(key):
        raise bad("message identifier is not specified")
    found = chat.messages.get(arguments.number(key))
    if found is None:
        raise bad(f"message to {purpose} not found")
    return found


def own_message(world: Ground, arguments: Arguments) -> tuple[Chat, Message]:
    """A message that the bot may edit: its own."""
    chat = chat_of(world, arguments)
    message = message_of(chat, arguments, "edit")
    if message["from"]["id"] != BOT["id"]:
        raise bad("message can't be edited")
    return chat, message


def formatted(arguments: Arguments, *, empty: bool = False, limit: int = words.LIMIT,
              too_long: str = "message is too long", key: str = "text",
              marks: str = "entities") -> tuple[str, list[dict[str, Any]]]:  # fmt: skip
    """Text and its entities as Telegram would keep them."""
    if arguments.has("parse_mode"):
        raise bad("this local server takes entities, not parse_mode")
    raw = arguments.text(key)
    if not raw and not empty:
        raise bad(EMPTY)
    text, entities = words.clean(raw, arguments.objects(marks))
    if not text.strip(words.BLANK) and not empty:
        raise bad("text must be non-empty")
    if words.units(text) > limit:
        raise bad(too_long)
    return text, sorted(entities, key=lambda e: (e["offset"], -e["length"])) or words.found(text)


def keyboard(arguments: Arguments) -> dict[str, Any] | None:
    """An inline keyboard that Telegram would take; other keyboards are kept out of messages."""
    markup = arguments.object("reply_markup")
    if not markup or "inline_keyboard" not in markup:
        return None
    rows = markup["inline_keyboard"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad("can't parse reply keyboard markup JSON object")
    for button in (b for row in rows for b in row):
        _check_button(button)
    if sum(len(row) for row in rows) > 100:
        raise bad("reply markup is too long")
    rows = [row for row in rows if row]
    return {"inline_keyboard": rows} if rows else None


def _check_button(button: Any) -> None:
    if not isinstance(button, dict) or not str(button.get("text", "")).strip():
        raise bad('can\'t parse inline keyboard button: Field "text" must be of type String')
    if not {"callback_data", "url", "web_app", "copy_text", "login_url"} & button.keys():
        raise bad("can't parse inline keyboard button: Text buttons are unallowed in the inline "
                  "keyboard")  # fmt: skip
    if "callback_data" in button:
        size = len(str(button["callback_data"]).encode("utf-8", "replace"))
        if not 1 <= size <= 64:
            raise bad("BUTTON_DATA_INVALID")


def reply(chat: Chat, arguments: Arguments) -> dict[str, Any]:
    """The message that is replied to, as it is shown in the new one."""
    wanted = arguments.object("reply_parameters") or {}
    number = wanted.get("message_id") or arguments.number("reply_to_message_id")
    if not number:
        return {}
    found = chat.messages.get(int(number))
    if found is None:
        if wanted.get("allow_sending_without_reply"):
            return {}
        raise bad("message to be replied not found")
    return {"reply_to_message": {k: v for k, v in found.items() if k != "reply_to_message"}}
