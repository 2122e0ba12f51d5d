"""Updates as nobody should send them, of every kind that the library knows.

The kinds, their fields and the fields' types are read from python-telegram-bot
itself, so that none is forgotten when a new one comes. Of a field that should
be there one is sometimes missing, or of another type, or enormous, or nested
junk. Every text holds CANARY, which must be in no log.
"""

from __future__ import annotations

import datetime
import enum
import inspect
import sys
import typing
from collections.abc import Sequence
from functools import cache
from typing import Any

import telegram
from hypothesis import strategies as st
from telegram import TelegramObject, Update, constants

from bot.handlers.table import COMMANDS

CANARY = "marmalade-7731"
DEEPEST = 4
# Fields without which an update would reach no handler: there more often than not.
LIKELY = ("text", "from", "data", "message", "caption", "entities", "reply_to_message")
HOSTILE = (
    "", "\0", "\u202e\u2066", "\ud800", "a\u0301" * 300, "🏳️‍🌈" * 50, "﷽" * 40, "\U000e0041" * 20,
    "'; DROP TABLE persons; --", "{}", "%s%n{0.__class__}", "[link](tg://user?id=1)", "x" * 4096,
    "I want to die", "/start", "/stop", "/forget_me", "../../etc/passwd", "\r\n\r\n", "٣",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**40)
NAMED = sorted(
    {
        each.value
        for _, kinds in inspect.getmembers(constants, inspect.isclass)
        if issubclass(kinds, enum.Enum) and issubclass(kinds, str)
        for each in kinds
    }
)


def kinds() -> dict[str, Any]:
    """Every kind of update, with the class of what it carries."""
    found = {}
    for name, hint in fields(Update).items():
        classes = [each for each in _leaves(hint) if _is_object(each)]
        if classes:
            found[name] = classes[0]
    return found


@cache
def fields(cls: Any) -> dict[str, Any]:
    """The fields of one of the library's classes, by Telegram's names, with their types."""
    known = {**vars(telegram), "dtm": datetime, "Sequence": Sequence}
    known |= vars(sys.modules["telegram._utils.types"])
    found = typing.get_type_hints(cls.__init__, vars(sys.modules[cls.__module__]), known)
    for name in ("return", "api_kwargs", "bot"):
        found.pop(name, None)
    return {("from" if name == "from_user" else name): hint for name, hint in found.items()}


@cache
def required(cls: Any) -> frozenset[str]:
    """Fields that the class cannot be without."""
    named = inspect.signature(cls.__init__).parameters.values()
    need = {p.name for p in named if p.default is p.empty and p.name != "self"}
    return frozenset("from" if name == "from_user" else name for name in need) & set(fields(cls))


texts = st.sampled_from(HOSTILE).map(lambda text: text + CANARY) | st.text(max_size=40).map(
    lambda text: CANARY + text
)
numbers = st.integers(1, 60) | st.sampled_from(NUMBERS)
junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
one_in_twenty = st.integers(0, 19).map(lambda drawn: drawn == 0)
one_in_two = st.booleans()


@cache
def objects(cls: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """One of Telegram's objects, nearly as it should be."""
    return _objects(cls, depth)


@st.composite
def _objects(draw: st.DrawFn, cls: Any, depth: int) -> Any:
    if draw(one_in_twenty):
        return draw(junk)
    heirs: list[Any] = cls.__subclasses__()
    heir: bool = draw(one_in_two)
    if heirs and heir:
        cls = draw(st.sampled_from(heirs))
    known = fields(cls)
    wanted = set(required(cls)) if depth else set(known) & {"chat", "message_id", "date"}
    wanted |= {name for name in LIKELY if name in known and draw(one_in_two)}
    if known and depth < DEEPEST:
        wanted |= set(draw(st.lists(st.sampled_from(sorted(known)), max_size=3)))
    made = {
        name: draw(_value(known[name], depth))
        for name in sorted(wanted | set(required(cls)))
        if not draw(one_in_twenty)
    }
    if draw(one_in_twenty):
        made[draw(texts)] = draw(junk)
    return made


@cache
def _value(hint: Any, depth: int) -> st.SearchStrategy[Any]:
    """Mostly of the type that it should be."""
    choices = [_of(each, depth) for each in _leaves(hint) if each is not type(None)]
    proper = st.one_of(choices) if choices else junk
    if typing.get_origin(hint) in (Sequence, tuple) or "Sequence" in str(hint):
        proper = st.lists(proper, max_size=3)
    return one_in_twenty.flatmap(lambda wrong: junk if wrong else proper)


def _of(leaf: Any, depth: int) -> st.SearchStrategy[Any]:
    if _is_object(leaf):
        return objects(leaf, depth + 1) if depth < DEEPEST else st.just({})
    if leaf is bool:
        return st.booleans()
    if leaf in (int, datetime.datetime, datetime.timedelta):
        return numbers
    if leaf is float:
        return st.floats(-200, 200)
    return texts | st.sampled_from(NAMED)


@st.composite
def commands(draw: st.DrawFn) -> dict[str, Any]:
    """A command of the bot's own, well marked, with hostile words behind it."""
    command = f"/{draw(st.sampled_from([each.name for each in COMMANDS]))}"
    person, chat = draw(st.integers(1, 60)), draw(st.integers(1, 60) | st.integers(-60, -1))
    kind = "private" if chat > 0 else "supergroup"
    mark = {"type": "bot_command", "offset": 0, "length": len(command)}
    return {
        "message": {
            "message_id": draw(numbers),
            "date": 1,
            "chat": {"id": person if chat > 0 else chat, "type": kind},
            "from": {"id": person, "is_bot": False, "first_name": draw(texts)},
            "text": f"{command} {draw(texts)}",
            "entities": [mark],
        }
    }


@st.composite
def batches(draw: st.DrawFn) -> list[Any]:
    """One update of every kind, some commands, and things that are no updates; without numbers."""
    found = kinds()
    made: list[Any] = [{kind: draw(objects(of))} for kind, of in found.items()]
    made += [draw(commands()) for _ in range(6)]
    two = draw(st.lists(st.sampled_from(sorted(found)), min_size=2, max_size=2))
    deep: Any = CANARY
    for _ in range(draw(st.integers(100, 300))):
        deep = [deep] if draw(one_in_two) else {"message": deep}
    made += [{kind: draw(objects(found[kind])) for kind in two}, {two[0]: deep}, draw(junk)]
    return draw(st.permutations(made))


def _leaves(hint: Any) -> list[Any]:
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return [str]
    return [leaf for each in inner for leaf in _leaves(each)] if inner else [hint]


def _is_object(leaf: Any) -> bool:
    return isinstance(leaf, type) and issubclass(leaf, TelegramObject)
