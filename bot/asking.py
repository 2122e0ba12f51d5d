"""Who asks what, and what others may hang into a turn.

Plain data, between handlers and the chat. Knows nothing of Telegram's objects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bot.safety.types import Assessment
from bot.store.admission import Standing
from bot.store.tables import Conversation


@dataclass(frozen=True, slots=True)
class Asked:
    """One person's wish for a reply. `turn` names it for ever: the update's id.

    `text` is empty where the words are in the history already (retry, go on).
    `notice` is said before the reply, in a message of its own. `alarm`: it is an answer to a
    questionnaire that is danger by itself, without words.
    """

    turn: str
    person: int
    chat: int
    text: str = ""
    message_id: int = 0
    notice: str | None = None
    alarm: bool = False

    @property
    def group(self) -> bool:
        """Whether others read along; Telegram's groups have negative ids."""
        return self.chat < 0


Danger = Callable[[], Awaitable[bool]]
"""Whether the words by themselves are danger. Read only by what would keep them from the turn,
which reads them again in the light of those before them: most words need no reading by themselves.
"""


async def wordless() -> bool:
    """Of a command or a button."""
    return False


Check = Callable[[Asked, Standing, Danger], Awaitable[str | None]]
"""A sentence that refuses the turn (empty: in silence), or None. Never refuses danger."""
Notice = Callable[[Asked], Awaitable[str | None]]
"""Words to say before the reply, or None."""
AfterGate = Callable[[Asked, Conversation, Assessment], Awaitable[None]]
"""Told of what the gate found, before anyone is answered."""

Taker = Callable[[Asked, Standing, Danger], Awaitable[bool]]
"""Asked as `taker(asked, standing, danger)`: True when somebody else answers these words."""


@dataclass
class Hooks:
    """Where other parts of the bot take part in a turn; each list runs in order.

    `hurries`: whether danger of this person waits in this chat behind the turn, or a wish to stop.
    """

    checks: list[Check] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    after_gate: list[AfterGate] = field(default_factory=list)
    takers: list[Taker] = field(default_factory=list)
    hurries: Callable[[int, int], bool] = lambda _chat, _person: False

    async def refusal(self, asked: Asked, standing: Standing, danger: Danger) -> str | None:
        """The first check's sentence that refuses."""
        for check in self.checks:
            sentence = await check(asked, standing, danger)
            if sentence is not None:
                return sentence
        return None

    async def said_before(self, asked: Asked) -> list[str]:
        """All notices that are due."""
        found = [asked.notice, *[await notice(asked) for notice in self.notices]]
        return [each for each in found if each]

    async def taken(self, asked: Asked, standing: Standing, danger: Danger) -> bool:
        """Whether an operator answers these words instead of the program."""
        return any([await taker(asked, standing, danger) for taker in self.takers])
