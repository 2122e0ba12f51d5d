"""The event loop that a process runs on: libuv's, which takes a fifth less of the processor.

Knows loops; knows nothing of what runs on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def run(main: Coroutine[Any, Any, None]) -> None:
    """Like `asyncio.run`; on asyncio's own loop where libuv's is not to be had (Windows)."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)
