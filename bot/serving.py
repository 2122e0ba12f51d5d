"""An HTTP server inside a program that owns its signals. Knows nothing of what it serves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

LOOPBACK = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 picks a free one. Raises OSError when the port is taken.

    The protocol is named, or asyncio leaves Nagle's algorithm on: an answer in two pieces then
    waits for the other side's delayed acknowledgement, 40 ms each time.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
    except OSError:
        listening.close()
        raise
    return listening


class Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals' handlers as they are."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield
