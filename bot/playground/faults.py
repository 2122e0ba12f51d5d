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
    """

    kind: Literal["delay", "error", "lost", "refused"]
    times: int = 1
    seconds: float = 0.0
    error: ApiError | None = None
    only: Callable[[dict[str, Any]], bool] = field(default=lambda _arguments: True)


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

    def off(self, *faults: Fault) -> None:
        """Take these off, or all."""
        for rules in self._rules.values():
            rules[:] = [rule for rule in rules if faults and rule not in faults]

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
            if any(rule.kind == "refused" for rule in rules):
                raise Cut
            if error := next((rule.error for rule in rules if rule.error), None):
                raise error
            outcome = "done"
            result = await work()
            if any(rule.kind == "lost" for rule in rules):
                outcome = "lost"
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
                due.append(rule)
        return due
