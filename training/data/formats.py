"""A row of any common format becomes turns: pair, `<HUMAN>: … <ASSISTANT>:`, or chat.

Knows the shapes of rows; knows nothing of files, rules about content or tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from model.types import Role, Turn

CHAT = ("turns", "messages", "conversations", "conversation", "dialog", "dialogue")
ROLES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "person": "user",
    "client": "user",
    "patient": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "therapist": "assistant",
    "counselor": "assistant",
    "system": "system",
}
PAIRS = (
    ("question", "answer"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
    ("input", "output"),
    ("context", "response"),
    ("questionText", "answerText"),
    ("user", "assistant"),
    ("query", "reply"),
)
MARKED = re.compile(r"<(HUMAN|ASSISTANT)>:", re.IGNORECASE)
WANTED = (
    "a row holds a pair (question and answer, prompt and response …), a text with <HUMAN>: and "
    "<ASSISTANT>:, or a list of turns (messages, turns or conversations)"
)


class Unreadable(ValueError):
    """The row has no format that is known; the message says what is wrong."""


def turns_of(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The row's turns, alternating, first the person's, last the assistant's.

    A system turn may come first. Raises Unreadable.
    """
    return _alternating(_found(row))


def _found(row: Mapping[str, Any]) -> list[Turn]:
    lowered = {str(key).lower(): value for key, value in row.items()}
    for key in CHAT:
        if isinstance(lowered.get(key), list):
            return [_turn(one) for one in lowered[key]]
    for value in (lowered.get("text"), lowered.get("prompt")):
        if isinstance(value, str) and MARKED.search(value) and not _pair(lowered):
            return _marked(value)
    pair = _pair(lowered)
    if pair is None:
        raise Unreadable(WANTED)
    return pair


def _pair(row: Mapping[str, Any]) -> list[Turn] | None:
    for ask, answer in PAIRS:
        first, second = row.get(ask.lower()), row.get(answer.lower())
        if isinstance(first, str) and isinstance(second, str):
            title = row.get("title") if ask == "question" else None
            return [Turn("user", _titled(title, first)), Turn("assistant", second)]
    return None


def _titled(title: Any, question: str) -> str:
    """A question's title is part of it, unless the question says it already."""
    if not isinstance(title, str) or not title.strip():
        return question
    said = title.strip().rstrip("?!.").casefold() in question.casefold()
    return question if said else f"{question.strip()}\n{title.strip()}"


def _marked(text: str) -> list[Turn]:
    parts = MARKED.split(text)
    head = [Turn("system", parts[0])] if parts[0].strip() else []
    talk = zip(parts[1::2], parts[2::2], strict=True)
    return head + [Turn("user" if mark.upper() == "HUMAN" else "assistant", t) for mark, t in talk]


def _turn(one: Any) -> Turn:
    if not isinstance(one, Mapping):
        raise Unreadable("a turn of the list is no object with a role and a text")
    who = next((one[key] for key in ("role", "from", "speaker", "author") if key in one), None)
    text = next((one[key] for key in ("content", "text", "value", "message") if key in one), None)
    role = ROLES.get(str(who).strip().lower())
    if role is None:
        raise Unreadable(f"the role {who!r} is not known")
    if not isinstance(text, str):
        raise Unreadable("a turn has no text")
    return Turn(role, text)


def _alternating(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Strip, check the order, cut what follows the last reply."""
    found = [Turn(turn.role, tidy(turn.text)) for turn in turns]
    while found and found[-1].role != "assistant":
        found.pop()
    talk = found[1:] if found and found[0].role == "system" else found
    if not talk:
        raise Unreadable("there is no reply to learn from")
    for number, turn in enumerate(talk):
        if turn.role != ("user", "assistant")[number % 2]:
            raise Unreadable("the person and the assistant do not take turns")
        if not turn.text:
            raise Unreadable("a turn is empty")
    return tuple(found)


def tidy(text: str) -> str:
    """No NUL, no lone surrogates, no trailing or repeated blanks; paragraphs stay."""
    text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")
    # Forum answers lost the blank after a full stop where a paragraph ended.
    text = re.sub(r"(?<=[a-z][.?!])(?=[A-Z][a-z])", " ", text)
    text = re.sub(r"[ \t]+", " ", text)
    return re.sub(r" ?\n ?", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip()
