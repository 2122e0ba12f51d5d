"""Who is next: bounded, one running reply for each owner, owners in turn.

A plain data structure under the queue's lock. Knows nothing of threads,
tokens or what an owner is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Set
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitingRoom(Generic[T]):
    """First come, first served within an owner; round robin between owners."""

    def __init__(self, capacity: int, owner: Callable[[T], str]) -> None:
        self.capacity = capacity
        self._owner = owner
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()

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
        for owner, line in self._lines.items():
            if owner not in busy:
                item = line.popleft()
                del self._lines[owner]
                if line:
                    self._lines[owner] = line
                return item
        return None

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
        lines = [list(line) for line in self._lines.values()]
        depth = max((len(line) for line in lines), default=0)
        return [line[i] for i in range(depth) for line in lines if i < len(line)]
