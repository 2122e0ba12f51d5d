"""Faults that tests switch on, and the log of calls that they assert on.

The page cannot reach this: only whoever constructs the server can.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from bot.playground.errors import ApiError, too_many


class Cut(Exception):
    """The connection ends without an answer."""


class Call(NamedTuple):
    """One call as it came: Telegram's spelling of the method, its arguments, what became of it."""

    method: str
    arguments: dict[str, Any]
    outcome: str


@dataclass
class Fault:
    """What happens to the next `times` calls of a method; -1 is until taken off.

    `lost` does the work and cuts the line before the answer; `refused` cuts it before.
    `mute` does the work and `hung` does nothing, and both say nothing until they are off.
    """

    kind: Literal["delay", "error", "lost", "refused", "mute", "hung"]
    times: int = 1
    seconds: float = 0.0
    error: ApiError | None = None
    only: Callable[[dict[str, Any]], bool] = field(default=lambda _arguments: True)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    met: int = 0


class Faults:
    """Rules by method (`*` for all), tried in the order in which they were added."""

    def __init__(self, keep: int = 100_000) -> None:
        self.calls: deque[Call] = deque(maxlen=keep)
        self._rules: dict[str, list[Fault]] = {}

    def add(self, method: str, fault: Fault) -> Fault:
        """Switch a fault on; the returned one can be given to `off`."""
        self._rules.setdefault(method.lower(), []).append(fault)
        return fault

    def delay(self, method: str, seconds: float, times: int = 1) -> Fault:
        """Answer later."""
        return self.add(method, Fault("delay", times, seconds))

    def flood(self, method: str, retry_after: int, times: int = 1) -> Fault:
        """429 with the seconds to wait."""
        return self.add(method, Fault("error", times, error=too_many(retry_after)))

    def fail(self, method: str, code: int = 500, words: str = "Internal Server Error",
             times: int = 1) -> Fault:  # fmt: skip
        """An error answer, with nothing done."""
        return self.add(method, Fault("error", times, error=ApiError(code, words)))

    def lose(self, method: str, times: int = 1) -> Fault:
        """Done, and the answer is lost."""
        return self.add(method, Fault("lost", times))

    def refuse(self, method: str, times: int = 1) -> Fault:
        """Cut before anything is done."""
        return self.add(method, Fault("refused", times))

    def hang(self, method: str, times: int = 1) -> Fault:
        """Nothing is done and nothing is answered: the request is lost, the line stays open."""
        return self.add(method, Fault("hung", times))

    def mute(self, method: str, times: int = 1) -> Fault:
        """Done, and nothing is answered: a line that is open in one direction only."""
        return self.add(method, Fault("mute", times))

    def off(self, *faults: Fault) -> None:
        """Take these off, or all."""
        for rules in self._rules.values():
            for rule in rules:
                if not faults or any(rule is each for each in faults):
                    rule.over.set()
            rules[:] = [rule for rule in rules if not rule.over.is_set()]

    def of(self, method: str) -> list[Call]:
        """The calls of one method, oldest first."""
        return [call for call in self.calls if call.method.lower() == method.lower()]

    async def around(
        self, method: str, arguments: dict[str, Any], work: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Do the work under whatever faults are on; raises ApiError or Cut."""
        outcome = "refused"
        try:
            rules = self._due(method, arguments)
            await asyncio.sleep(sum(rule.seconds for rule in rules))
            await _silence(rules, "hung")
            if any(rule.kind == "refused" for rule in rules):
                raise Cut
            if error := next((rule.error for rule in rules if rule.error), None):
                raise error
            outcome = "done"
            result = await work()
            if any(rule.kind in ("lost", "mute") for rule in rules):
                outcome = "lost"
                await _silence(rules, "mute")
                raise Cut
        except ApiError as error:
            outcome = str(error.code)
            raise
        else:
            return result
        finally:
            self.calls.append(Call(method, arguments, outcome))

    def _due(self, method: str, arguments: dict[str, Any]) -> list[Fault]:
        rules = self._rules.get(method.lower(), []) + self._rules.get("*", [])
        due: list[Fault] = []
        for rule in rules:
            # Delays add up; of the others the first in line acts alone.
            taken = rule.kind != "delay" and any(d.kind != "delay" for d in due)
            if rule.times != 0 and not taken and rule.only(arguments):
                rule.times -= rule.times > 0
                rule.met += 1
                due.append(rule)
        return due


async def _silence(rules: list[Fault], kind: str) -> None:
    for rule in rules:
        if rule.kind == kind:
            await rule.over.wait()
            raise Cut
