"""The world with its people: what a person does becomes messages and updates.

Stands for Telegram's own app. Knows nothing of HTTP or of the bot.
"""

from __future__ import annotations

from typing import Any

from bot.playground import text as words
from bot.playground.chats import BOT, Chat, Message, person_id, user
from bot.playground.errors import PersonError
from bot.playground.ground import Ground
from bot.playground.media import described

__all__ = ["BOT", "Chat", "World", "person_id"]
NO_MESSAGE = "There is no such message."


class World(Ground):
    """The acts raise PersonError with a sentence for the person."""

    def say(self, name: str, text: str, group: str | None = None,
            reply_to: int | None = None) -> Message:  # fmt: skip
        """Send text, a long one in several messages as the apps do. Returns the last."""
        chat, sent = self.chat(name, group), None
        _unblocked(chat)
        for portion in words.portions(words.whole(text)):
            clean, _ = words.clean(portion, [])
            if clean:
                sent = _arrive(self, chat, name, {"text": clean}, reply_to)
        if sent is None:
            raise PersonError("There is nothing to send.")
        return sent

    def send(self, name: str, kind: str, file: str, data: bytes, caption: str = "",
             group: str | None = None) -> Message:  # fmt: skip
        """Send a photo, document, voice or sticker. Telegram takes at most 1,024 of caption."""
        chat = self.chat(name, group)
        _unblocked(chat)
        if not data:
            raise PersonError("The file is empty.")
        content: dict[str, Any] = described(kind, self.store(file, data), file, data)
        clean, _ = words.clean(next(words.portions(words.whole(caption), words.CAPTION_LIMIT)), [])
        return _arrive(self, chat, name, content | ({"caption": clean} if clean else {}), None)

    def edit(self, name: str, message_id: int, text: str,
             group: str | None = None) -> None:  # fmt: skip
        """Change an own message's text or caption."""
        chat = self.chat(name, group)
        message = _own(chat, name, message_id)
        clean, _ = words.clean(next(words.portions(words.whole(text))), [])
        key = "text" if "text" in message else "caption"
        if not clean or message.get(key) == clean:
            return
        message |= {key: clean, "edit_date": int(self.clock())}
        _mark(message, key)
        self.touch(chat, message_id)
        if _reaches(chat, message):
            self.push("edited_message", dict(message))

    def press(self, name: str, message_id: int, data: str,
              group: str | None = None) -> str:  # fmt: skip
        """Press an inline button of a message; returns the id of the callback query."""
        chat = self.chat(name, group)
        message = chat.messages.get(message_id)
        if message is None or message["from"] != BOT:
            raise PersonError(NO_MESSAGE)
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        if all(button.get("callback_data") != data for row in rows for button in row):
            raise PersonError("There is no such button any more.")
        number = self.press_made(chat, person_id(name))
        self.push("callback_query", {
            "id": number, "from": user(name), "chat_instance": str(chat.id),
            "message": dict(message), "data": data,
        })  # fmt: skip
        return number

    def stop(self, name: str) -> None:
        """Press a draft's own Stop button, where the bot offers it (`can_stop`)."""
        chat = self.chat(name)
        if chat.live is None or not chat.live.can_stop:
            raise PersonError("Nothing is being written.")
        self.push("stopped_message_generation",
                  {"chat": chat.telegram(), "draft_id": chat.live.id})  # fmt: skip
        if not chat.live.keep:
            chat.live = None
        self.touch(chat)

    def block(self, name: str, blocked: bool = True) -> None:
        """Block the bot, or let it in again: it is told, and its messages are refused."""
        chat = self.chat(name)
        if chat.blocked == blocked:
            return
        chat.blocked = blocked
        before, after = ("member", "kicked") if blocked else ("kicked", "member")
        self.push("my_chat_member", {
            "chat": chat.telegram(), "from": user(name), "date": int(self.clock()),
            "old_chat_member": _membership(before), "new_chat_member": _membership(after),
        })  # fmt: skip
        self.touch(chat)

    def clear(self, name: str, group: str | None = None) -> None:
        """Delete the chat here, as in Telegram's app; the bot is not told."""
        chat = self.chat(name, group)
        for number in list(chat.messages):
            chat.forget(number, self.version + 1)
        self.touch(chat)


def _arrive(world: Ground, chat: Chat, name: str, content: dict[str, Any],
            reply_to: int | None) -> Message:  # fmt: skip
    if reply_to in chat.messages:
        said = chat.messages[reply_to]
        content["reply_to_message"] = {k: v for k, v in said.items() if k != "reply_to_message"}
    message = world.add(chat, user(name), **content)
    _mark(message, "text" if "text" in message else "caption")
    if _reaches(chat, message):
        # A copy: what the bot was told stays as it was when it is edited later.
        world.push("message", dict(message))
    return message


def _mark(message: Message, key: str) -> None:
    """Commands, mentions and addresses, as the app marks them."""
    name = "entities" if key == "text" else "caption_entities"
    message.pop(name, None)
    if marks := words.found(message.get(key, "")):
        message[name] = marks


def _reaches(chat: Chat, message: Message) -> bool:
    """In a group a bot sees commands, mentions of its name and replies to it (privacy mode)."""
    if not chat.group:
        return True
    body = message.get("text") or message.get("caption") or ""
    name = f"@{BOT['username']}"
    first, _, whom = body.split(maxsplit=1)[0].partition("@") if body else ("", "", "")
    command = first.startswith("/") and whom.lower() in ("", BOT["username"])
    replied = message.get("reply_to_message", {}).get("from", {}).get("id") == BOT["id"]
    return bool(command or replied or name in body.lower())


def _own(chat: Chat, name: str, message_id: int) -> Message:
    message = chat.messages.get(message_id)
    if message is None or message["from"]["id"] != person_id(name):
        raise PersonError(NO_MESSAGE)
    return message


def _unblocked(chat: Chat) -> None:
    if chat.blocked:
        raise PersonError("You blocked the bot: unblock it to write.")


def _membership(status: str) -> dict[str, Any]:
    until = {"until_date": 0} if status == "kicked" else {}
    return {"user": BOT, "status": status} | until
