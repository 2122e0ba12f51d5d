"""Which words of a conversation a turn answers, and what was said before them.

Knows the order of messages; knows nothing of storing, safety or the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot import texts
from bot.safety.types import HistoryTurn
from bot.store.tables import Conversation, Message


@dataclass(frozen=True, slots=True)
class Said:
    """What a turn answers. `number` is the row of the words, or of the last message.

    `judged` are the person's own words, which the gate judges: a wish to go on
    is put into words by the bot.
    """

    talk: Conversation
    earlier: list[Message]
    words: str
    number: int
    judged: str
    before: list[Message]


# How a fixed text was made that answers no words: the model must not be asked to go on from it.
BY_ANSWER = "fixed, by a questionnaire"

Find = Callable[[Conversation, list[Message]], Said | None]


def said_in(history: list[Message], message_id: int) -> Message | None:
    """The person's message with this Telegram id, where it is stored already."""
    own = (m for m in reversed(history) if m.role == "user")
    return next((m for m in own if m.telegram_id == message_id), None)


def message_of(message_id: int) -> Find:
    """The message with this Telegram id."""
    return lambda talk, history: _up_to(talk, history, said_in(history, message_id))


def last(talk: Conversation, history: list[Message]) -> Said | None:
    """The person's last message."""
    return _up_to(talk, history, next((m for m in reversed(history) if m.role == "user"), None))


def further(talk: Conversation, history: list[Message]) -> Said | None:
    """A wish that the model go on from its own last words."""
    if not history or history[-1].role != "assistant" or history[-1].model == BY_ANSWER:
        return None
    own = last(talk, history)
    judged, before = (own.words, own.earlier) if own else ("", [])
    return Said(talk, history, texts.GO_ON, history[-1].id, judged, before)


def no_words(talk: Conversation, history: list[Message]) -> Said | None:
    """Nothing was said: a fixed text follows from what was done."""
    return Said(talk, history, "", history[-1].id if history else 0, "", history)


def spoken(messages: list[Message]) -> tuple[HistoryTurn, ...]:
    """Messages as turns."""
    return tuple(HistoryTurn("user" if m.role == "user" else "assistant", m.text) for m in messages)


def _up_to(talk: Conversation, history: list[Message], found: Message | None) -> Said | None:
    if found is None:
        return None
    earlier = [m for m in history if m.id < found.id]
    return Said(talk, earlier, found.text, found.id, found.text, earlier)
