"""Whether somebody may talk now: bans, maintenance, invites, and how much at once.

Danger is let through in any case. Refuses with a sentence, or in silence where it has said so
already. Knows nothing of Telegram.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from bot.asking import Asked, Danger
from bot.store.admission import MAINTENANCE as MAINTENANCE
from bot.store.admission import Standing

BANNED = "You cannot talk with me here. /export and /forget_me still work."
RESTING = (
    "I am being worked on and cannot talk just now. Please try again later. "
    "In an emergency call your local emergency number."
)
INVITE_ONLY = "I can talk only with people who were invited. With a code, write: /start CODE"
NOT_LISTED = "I can talk only with people whom my operator has let in."
TOO_FAST = "That was a lot at once. Please give me a minute, and then write again."
ALL_BUSY = "Many people are talking with me just now. Please try again in a minute."
MINUTE_S = 60.0
REMEMBERED = 10_000
Mode = Literal["open", "invite", "list"]


@dataclass
class Bucket:
    """So many in a minute; what was not used may come at once."""

    per_minute: int
    left: float
    since: float

    def take(self, now: float) -> bool:
        """Whether one more may pass."""
        refill = (now - self.since) * self.per_minute / MINUTE_S
        self.left, self.since = min(float(self.per_minute), self.left + max(refill, 0.0)), now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Rates:
    """Buckets for each person and for all together. Remembers the latest people only."""

    def __init__(self, person: int, total: int, timer: Callable[[], float]) -> None:
        self._person, self._timer = person, timer
        self._all = Bucket(total, total, timer())
        self._people: OrderedDict[int, Bucket] = OrderedDict()

    def refusal(self, person_id: int) -> str | None:
        """A sentence when this person, or all together, are too fast."""
        now = self._timer()
        own = self._people.setdefault(person_id, Bucket(self._person, self._person, now))
        self._people.move_to_end(person_id)
        while len(self._people) > REMEMBERED:
            self._people.popitem(last=False)
        if not own.take(now):
            return TOO_FAST
        return None if self._all.take(now) else ALL_BUSY


class AdmissionCheck:
    """A check before a turn (see bot.asking.Hooks)."""

    def __init__(
        self,
        mode: Mode,
        allowed: Collection[int],
        admins: Collection[int],
        rates: Rates,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mode, self._rates, self._timer = mode, rates, timer
        self._allowed, self._admins = frozenset(allowed) | frozenset(admins), frozenset(admins)
        self._told: OrderedDict[int, float] = OrderedDict()

    async def __call__(self, asked: Asked, standing: Standing, danger: Danger) -> str | None:
        """None to go on; else a sentence, empty when it was said a moment ago."""
        refusal = self._refusal(asked.person, standing)
        if refusal is None or await danger():
            return None
        now = self._timer()
        said = self._told.get(asked.person)
        if said is not None and now - said < MINUTE_S:
            return ""
        self._told[asked.person] = now
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return refusal

    def _refusal(self, person: int, standing: Standing) -> str | None:
        if person not in self._admins:
            if standing.banned:
                return BANNED
            if standing.maintenance:
                return RESTING
        return self._not_let_in(person, standing) or self._rates.refusal(person)

    def _not_let_in(self, person: int, standing: Standing) -> str | None:
        if self._mode == "open" or person in self._allowed:
            return None
        if self._mode == "list":
            return NOT_LISTED
        return None if standing.admitted else INVITE_ONLY
