"""The stream of OpenAI's `/v1/completions`: server-sent events to pieces of text.

Knows that dialect's JSON; knows nothing of connections or requests.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

END = "[DONE]"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text, perhaps none, and why the reply ended if it did."""

    text: str
    reason: Literal["stop", "length"] | None


async def pieces(lines: AsyncIterator[str]) -> AsyncIterator[Piece]:
    """What the events say, until `[DONE]`; raises ValueError for anything else."""
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == END:
            return
        yield _piece(data)


def _piece(data: str) -> Piece:
    event = json.loads(data)
    if not isinstance(event, dict) or event.get("error"):
        raise ValueError("the server reports an error")
    choices = event.get("choices") or []
    if not choices:
        return Piece("", None)
    text, reason = choices[0].get("text"), choices[0].get("finish_reason")
    if not isinstance(text, str | None):
        raise ValueError("text is no text")
    ended: Literal["stop", "length"] | None = "length" if reason == "length" else None
    return Piece(text or "", ended or ("stop" if reason else None))
