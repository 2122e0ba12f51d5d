"""What waits in one chat: what is urgent goes first. Knows nothing of what updates mean."""

from __future__ import annotations

from collections import deque

from bot import raw


class Line:
    """One chat's updates, in the order in which they are to be handled."""

    def __init__(self) -> None:
        self.urgent: deque[raw.Raw] = deque()
        self.others: deque[raw.Raw] = deque()

    def take(self) -> raw.Raw | None:
        """The next one, and it leaves the line."""
        waiting = self.urgent or self.others
        return waiting.popleft() if waiting else None
