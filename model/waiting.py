"""Who is next: bounded, one running reply for each owner, owners in turn.

A plain data structure under the queue's lock. Knows nothing of threads,
tokens or what an owner is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Set
from typing import Generic, TypeVar

T = TypeVar("T")
REMEMBERED = 1024


class WaitingRoom(Generic[T]):
    """First come, first served within an owner; round robin between owners."""

    def __init__(self, capacity: int, owner: Callable[[T], str]) -> None:
        self.capacity = capacity
        self._owner = owner
        self._lines: dict[str, deque[T]] = {}
        self._served: OrderedDict[str, int] = OrderedDict()
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def add(self, item: T) -> bool:
        """False when the room is full."""
        if len(self) >= self.capacity:
            return False
        self._lines.setdefault(self._owner(item), deque()).append(item)
        return True

    def take(self, busy: Set[str]) -> T | None:
        """The next whose owner is not `busy`; that owner goes to the end of the round."""
        owner = next((o for o in self._round() if o not in busy), None)
        if owner is None:
            return None
        item = self._lines[owner].popleft()
        if not self._lines[owner]:
            del self._lines[owner]
        self._turn += 1
        self._served[owner] = self._turn
        self._served.move_to_end(owner)
        if len(self._served) > REMEMBERED:
            self._served.popitem(last=False)
        return item

    def _round(self) -> list[str]:
        """Owners that wait, those served longest ago first."""
        return sorted(self._lines, key=lambda owner: self._served.get(owner, 0))

    def remove(self, item: T) -> bool:
        """Take an item out of the middle."""
        line = self._lines.get(self._owner(item))
        if not line or item not in line:
            return False
        line.remove(item)
        if not line:
            del self._lines[self._owner(item)]
        return True

    def in_order(self) -> list[T]:
        """All that wait, in the order in which they will be taken."""
        lines = [list(self._lines[owner]) for owner in self._round()]
        depth = max((len(line) for line in lines), default=0)
        return [line[i] for i in range(depth) for line in lines if i < len(line)]
