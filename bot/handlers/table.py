"""Every command and button of the bot in one table, and how it is registered.

From the table come PTB's handlers and the menus. A guard around each handler
keeps admins' commands for admins and personal ones out of groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    Update,
)
from telegram.error import TelegramError
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    CommandHandler,
    MessageHandler,
    filters,
)

from bot import texts
from bot.handlers import (
    admin,
    care,
    conversations,
    data,
    operators,
    questionnaires,
    settings,
    start,
    talk,
)
from bot.handlers.context import Context, Handler, answer, ids, services, toast


@dataclass(frozen=True, slots=True)
class Command:
    """One command; with `about` empty it is in no menu.

    `group`: harmless where others read along. `consent`: it stores something.
    """

    name: str
    handler: Handler
    about: str = ""
    admin: bool = False
    group: bool = False
    consent: bool = False


COMMANDS = (
    Command("start", start.start, "what this is", group=True),
    Command("help", start.help_, "what I can do", group=True),
    Command("new", start.new, "begin a new conversation", group=True, consent=True),
    Command("stop", start.stop, "stop my reply", group=True),
    Command("retry", talk.retry, "write the last reply again", group=True),
    Command("continue", talk.go_on, "go on from the last reply", group=True),
    Command("conversations", conversations.conversations, "list, open, name, delete", consent=True),
    Command("rename", conversations.rename, consent=True),
    Command("questionnaire", questionnaires.questionnaire, "PHQ-9 and GAD-7", consent=True),
    Command("cancel", questionnaires.cancel, "end a questionnaire"),
    Command("status", conversations.status, "this conversation"),
    Command("settings", settings.settings, "language, country, time, check-ins", consent=True),
    Command("privacy", data.privacy, "what is stored"),
    Command("export", data.export, "everything I store about you"),
    Command("forget_me", data.forget_me, "erase everything"),
    Command("operator", care.operator, "whether a human may step in", consent=True),
    Command("handoff", care.handoff, "take over a chat and give it back", admin=True),
    Command("ban", operators.ban, "bar somebody from talking", admin=True),
    Command("unban", operators.unban, "let them talk again", admin=True),
    Command("invite", operators.invite, "a code that lets people in", admin=True),
    Command("maintenance", operators.maintenance, "rest for a while", admin=True),
    Command("broadcast", operators.broadcast, "a message to everybody", admin=True),
    Command("audit", operators.audit, "what admins did", admin=True),
    Command("reload", admin.reload, "load an adapter or model", admin=True),
    Command("adapters", admin.adapters, "adapters on disk", admin=True),
)
BUTTONS: dict[str, Handler] = {
    "consent": start.consent,
    "forget": data.forget,
    "stop": start.stop,
    "safe": care.safe,
    "do:retry": talk.retry,
    "do:continue": talk.go_on,
    "do:privacy": data.privacy,
    "do:export": data.export,
    "do:forget_me": data.forget_me,
}
CONSENT_BUTTONS: dict[str, Handler] = {
    "operator": care.operator_chosen,
    "set": settings.menu,
    "talk": conversations.chosen,
    "questionnaire": questionnaires.pressed,
    "do:new": start.new,
    "do:conversations": conversations.conversations,
    "do:settings": settings.settings,
}
ADMIN_BUTTONS: dict[str, Handler] = {"load": admin.load}


def register(
    application: Application[Any, Any, Any, Any, Any, Any], more: Sequence[Command] = ()
) -> None:
    """Add every handler; `more` are commands that other parts of the bot bring."""
    fresh = filters.UpdateType.MESSAGE
    for command in (*COMMANDS, *more):
        application.add_handler(CommandHandler(command.name, guarded(command), filters=fresh))
    # Before everything else, and then the words of /start follow.
    application.add_handler(CommandHandler("start", operators.redeem, filters=fresh), group=-1)
    for word, handler in _buttons().items():
        application.add_handler(CallbackQueryHandler(handler, pattern=rf"^{word}(:|$)"))
    application.add_handler(CallbackQueryHandler(_old_button))
    application.add_handler(MessageHandler(filters.TEXT & ~filters.COMMAND, talk.message))
    application.add_handler(MessageHandler(filters.COMMAND & fresh, talk.unknown_command))
    application.add_handler(MessageHandler(~filters.TEXT & ~filters.StatusUpdate.ALL, talk.media))


def _buttons() -> dict[str, Handler]:
    stored = {word: guarded(Command(word, h, consent=True)) for word, h in CONSENT_BUTTONS.items()}
    admins = {word: guarded(Command(word, h, admin=True)) for word, h in ADMIN_BUTTONS.items()}
    return {**BUTTONS, **stored, **admins}


def guarded(command: Command) -> Handler:
    """The command's handler, behind who may use it and where."""

    async def handler(update: Update, context: Context) -> None:
        refusal = await _refusal(command, update, context)
        if refusal is None:
            await command.handler(update, context)
            return
        await toast(update)
        await answer(update, refusal)

    return handler


async def _refusal(command: Command, update: Update, context: Context) -> str | None:
    here, who = services(context), ids(update)
    if command.admin and who.person not in here.admins:
        return texts.NOT_ADMIN
    if who.chat < 0 and not command.group and not command.name.startswith("do:"):
        return texts.IN_PRIVATE.format(name=context.bot.username)
    agreed = not command.consent or await here.store.has_consented(
        who.person, texts.CONSENT_VERSION
    )
    return None if agreed else texts.FIRST_CONSENT


async def set_menus(bot: Bot, admins: frozenset[int], more: Sequence[Command] = ()) -> None:
    """Groups see what is harmless there, people see theirs, admins see all."""
    shown = [command for command in (*COMMANDS, *more) if command.about]
    people = [command for command in shown if not command.admin]
    scopes: list[tuple[Any, list[Command]]] = [
        (BotCommandScopeAllGroupChats(), [command for command in people if command.group]),
        (BotCommandScopeAllPrivateChats(), people),
        (None, people),
        *((BotCommandScopeChat(number), shown) for number in admins),
    ]
    for scope, commands in scopes:
        # An admin who has not yet written to the bot has no chat to set it for.
        with suppress(TelegramError):
            listed = [BotCommand(command.name, command.about) for command in commands]
            await bot.set_my_commands(listed, scope)


async def _old_button(update: Update, context: Context) -> None:
    """A button of an earlier version, or data that nobody gave out."""
    await toast(update, texts.OLD_BUTTON)
