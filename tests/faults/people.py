"""A model that repeats what it was asked, so that a reply tells which message it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bot.safety.types import PersonContext
from model.types import Event, Request
from tests.bot.fakes import ScriptedModel
from tests.bot.house import House, whole_gate

DANGER = "I want to kill myself tonight"


class Echo(ScriptedModel):
    """Answers `number 3` with `I heard number 3.`"""

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        self.script = heard(request.turns[-1].text)
        async for event in super().submit(request):
            yield event


def heard(words: str) -> str:
    """The reply to these words."""
    return f"I heard {words}."


def answers(house: House, name: str) -> list[str]:
    """The replies that stand in somebody's chat, in the order of their messages."""
    return [text for text in house.bot_says(name) if text.startswith("I heard ")]


def crisis_texts(house: House, name: str) -> int:
    """How often the fixed text for danger stands in somebody's chat."""
    gate = whole_gate()
    fixed = gate.reply(gate.assess(DANGER), PersonContext("en")).text
    return house.bot_says(name).count(fixed)
