"""PTB's calls straight through httpcore, without the two fifths of their time that httpx takes.

httpx stands on httpcore and adds cookies, redirects, authentication and proxies, which the Bot
API knows nothing of. Files still go by httpx, and so does everything where a proxy is set.
Knows HTTP; knows nothing of tokens or of what is asked.
"""

from __future__ import annotations

import ssl
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlencode
from urllib.request import getproxies

import httpcore
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, HTTPXRequest, RequestData

POOL = 256  # connections at once, as PTB's own
KEPT_S = 5.0  # an idle connection, as httpx's own
_FULL = (
    "Pool timeout: All connections in the connection pool are occupied. "
    "Request was *not* sent to Telegram."
)


class LeanRequest(HTTPXRequest):
    """See HTTPXRequest."""

    def __init__(self, connection_pool_size: int = POOL) -> None:
        super().__init__(connection_pool_size=connection_pool_size)
        self._size = connection_pool_size
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def initialize(self) -> None:
        """Open the pool, once."""
        await super().initialize()
        if self._pool is None and not getproxies():
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=_tls(),
                max_connections=self._size,
                max_keepalive_connections=self._size,
                keepalive_expiry=KEPT_S,
            )

    async def shutdown(self) -> None:
        """Close the pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()
        await super().shutdown()

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """See BaseRequest.do_request."""
        given = (read_timeout, write_timeout, connect_timeout, pool_timeout)
        if self._pool is None or (request_data and request_data.contains_files):
            return await super().do_request(url, method, request_data, *given)
        own = self._client.timeout
        usual = (own.read, own.write, own.connect, own.pool)
        limits = [b if isinstance(a, _UNSAID) else a for a, b in zip(given, usual, strict=True)]
        body = urlencode(request_data.json_parameters).encode() if request_data else b""
        try:
            answer = await self._pool.request(
                method,
                _parsed(url),
                headers=_HEADERS,
                content=body,
                extensions={
                    "timeout": dict(zip(("read", "write", "connect", "pool"), limits, strict=True))
                },
            )
        except httpcore.PoolTimeout as error:
            raise TimedOut(_FULL) from error
        except httpcore.TimeoutException as error:
            raise TimedOut from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
            raise NetworkError(f"httpcore.{type(error).__name__}: {error}") from error
        return answer.status, answer.content


_UNSAID = type(BaseRequest.DEFAULT_NONE)
_HEADERS = [
    (b"User-Agent", BaseRequest.USER_AGENT.encode()),
    (b"Content-Type", b"application/x-www-form-urlencoded"),
]


# Reading the machine's certificates takes 40 ms: once for all connections.
_tls = cache(ssl.create_default_context)


@lru_cache(maxsize=64)  # one for each method of the Bot API that is used
def _parsed(url: str) -> httpcore.URL:
    return httpcore.URL(url)
