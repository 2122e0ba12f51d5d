"""Bot API methods, as strict as Telegram where it bites.

Each takes the world and the call's arguments and returns the result or raises ApiError.
None knows HTTP or the bot. getUpdates waits, so it is the server's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.playground.arguments import Arguments
from bot.playground.errors import ApiError
from bot.playground.ground import Ground
from bot.playground.methods import delivery, editing, live, profile, sending

METHODS: dict[str, Callable[[Ground, Arguments], Any]] = {
    name.lower(): method
    for part in (sending, editing, live, profile, delivery)
    for name, method in part.METHODS.items()
}


def call(world: Ground, method: str, arguments: Arguments) -> Any:
    """Run one method; names are matched without regard to case, as at Telegram."""
    found = METHODS.get(method.lower())
    if found is None:
        raise ApiError(404, "Not Found: method not found")
    return found(world, arguments)
