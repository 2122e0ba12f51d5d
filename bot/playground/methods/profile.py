"""Methods about the bot itself, its menus and the chats it is in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bot.playground.arguments import Arguments
from bot.playground.chats import BOT
from bot.playground.errors import bad
from bot.playground.ground import Ground
from bot.playground.methods.parts import chat_of
from bot.playground.text import units

Method = Callable[[Ground, Arguments], Any]
COMMAND = re.compile(r"[a-z0-9_]{1,32}")
SCOPES = frozenset({"default", "all_private_chats", "all_group_chats", "all_chat_administrators",
                    "chat", "chat_administrators", "chat_member"})  # fmt: skip


def _me(_world: Ground, _arguments: Arguments) -> dict[str, Any]:
    return BOT | {
        "can_join_groups": True, "can_read_all_group_messages": False,
        "supports_inline_queries": False, "can_connect_to_business": False,
        "has_main_web_app": False,
    }  # fmt: skip


def _scope(world: Ground, arguments: Arguments) -> str:
    """The key under which a menu is kept: scope, then language."""
    scope, language = (
        arguments.object("scope") or {"type": "default"},
        arguments.text("language_code"),
    )
    kind = scope.get("type")
    if kind not in SCOPES:
        raise bad("can't parse BotCommandScope: Unsupported type specified")
    if kind in ("chat", "chat_administrators", "chat_member"):
        if scope.get("chat_id") in (None, ""):
            raise bad("chat_id is empty")
        if int(scope["chat_id"]) not in world.chats:
            raise bad("chat not found")
        kind = f"{kind}:{scope['chat_id']}"
    if scope["type"] == "chat_member":
        kind += f":{scope.get('user_id')}"
    return f"{kind}/{language}"


def _set_commands(world: Ground, arguments: Arguments) -> bool:
    commands = arguments.objects("commands")
    if len(commands) > 100:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    for each in commands:
        command = str(each.get("command", "")).removeprefix("/")
        if not COMMAND.fullmatch(command):
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= units(str(each.get("description", ""))) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
        each["command"] = command
    key = _scope(world, arguments)
    if commands:
        world.commands[key] = commands
    else:
        world.commands.pop(key, None)
    world.touch()
    return True


def _delete_commands(world: Ground, arguments: Arguments) -> bool:
    world.commands.pop(_scope(world, arguments), None)
    world.touch()
    return True


def _setter(kind: str, limit: int) -> Method:
    def method(world: Ground, arguments: Arguments) -> bool:
        text = arguments.text(kind)
        if units(text) > limit:
            raise bad(f"{kind.upper()}_TOO_LONG")
        world.profile[f"{kind}/{arguments.text('language_code')}"] = text
        world.touch()
        return True

    return method


def _getter(kind: str, default: str = "") -> Method:
    def method(world: Ground, arguments: Arguments) -> dict[str, str]:
        keys = (f"{kind}/{arguments.text('language_code')}", f"{kind}/")
        return {kind: next((world.profile[k] for k in keys if world.profile.get(k)), default)}

    return method


def _chat(world: Ground, arguments: Arguments) -> dict[str, Any]:
    chat = chat_of(world, arguments)
    pinned = {"pinned_message": chat.messages[chat.pinned]} if chat.pinned in chat.messages else {}
    return chat.telegram() | {"accent_color_id": 0, "max_reaction_count": 11} | pinned


def _member(world: Ground, arguments: Arguments) -> dict[str, Any]:
    chat_of(world, arguments)
    if arguments.number("user_id") == BOT["id"]:
        return {"status": "member", "user": BOT}
    raise bad("member not found")


METHODS: dict[str, Method] = {
    "getMe": _me,
    "getChat": _chat,
    "getChatMember": _member,
    "setMyCommands": _set_commands,
    "getMyCommands": lambda world, given: world.commands.get(_scope(world, given), []),
    "deleteMyCommands": _delete_commands,
    "setMyName": _setter("name", 64),
    "getMyName": _getter("name", str(BOT["first_name"])),
    "setMyDescription": _setter("description", 512),
    "getMyDescription": _getter("description"),
    "setMyShortDescription": _setter("short_description", 120),
    "getMyShortDescription": _getter("short_description"),
    "setChatMenuButton": lambda _world, _given: True,
    "getChatMenuButton": lambda _world, _given: {"type": "commands"},
    "logOut": lambda _world, _given: True,
    "close": lambda _world, _given: True,
}
