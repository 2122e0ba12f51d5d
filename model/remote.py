"""The model behind another server: any that speaks OpenAI's `/v1/completions`, streaming.

For scale-out: vLLM with the merged model, llama.cpp, `transformers serve`. The
prompt is written here, by the project's one template, so the server sees text
and no roles. Knows HTTP and that dialect; knows nothing of people. A request is
tried again only before its first token; after that a failure is said honestly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Literal

import httpx

from model.completions import Piece, pieces
from model.prompt import PromptBuilder
from model.remote_prompt import CONTEXT_TOKENS, Plain, budget, newest
from model.tickets import FULL, TWICE
from model.types import (
    AdapterInfo,
    AdapterRefused,
    Cancelled,
    Done,
    Event,
    Failed,
    ModelStatus,
    ModelUnavailable,
    QueueFull,
    Request,
    State,
    Text,
    Turn,
)
from model.worker import BROKEN, LATE

UNREACHABLE = "The model's server at {url} does not answer: start it, or correct LANNER_MODEL."
REFUSED = "The model's server refused the request ({status}): check LANNER_REMOTE_KEY and the name."
# Tries before the first token, and the pause before each next one, seconds.
TRIES, PAUSE_S = 3, 0.5
CONNECT_S = 10.0
PATIENCE_S = 5.0
# What a server says to a field that it does not know.
UNKNOWN_FIELD = (400, 422)


class Unanswered(Exception):
    """No token came; the request may be tried again when `again`."""

    def __init__(self, sentence: str, *, again: bool) -> None:
        super().__init__(sentence)
        self.again = again


@dataclass(eq=False, slots=True)
class Talk:
    """A request under way. `text` is what came of it."""

    request: Request
    turns: list[Turn]
    born: float
    text: str = ""
    tokens: int = 0
    first: float | None = None
    reason: Literal["stop", "length"] | None = None
    cancelled: bool = False


class RemoteModel:
    """Implements model.types.Model over a server at `url` that serves `name`.

    `capacity` is how many requests may be under way: the server does the queueing.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        key: str | None = None,
        capacity: int = 64,
        silence_s: float = 60,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._name, self._key = url.rstrip("/"), name, key
        self._capacity, self._silence_s, self._pause_s = capacity, silence_s, pause_s
        self._clock = clock
        self._prompts = PromptBuilder(Plain())
        self._talks: dict[str, Talk] = {}
        self._tasks: dict[str, asyncio.Event] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._client: httpx.AsyncClient | None = None
        self._state: State = "stopped"
        self._error: str | None = None
        self._tokens_per_s = 0.0
        # Whether the server takes what vLLM and its like add to OpenAI's sampling.
        self._extends = True

    async def start(self) -> None:
        """Ask the server whether it is there; raises ModelUnavailable."""
        if self._client is not None:
            return
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Timeout(self._silence_s, connect=CONNECT_S)
        client = httpx.AsyncClient(headers=headers, timeout=limits)
        try:
            answer = await client.get(f"{self._url}/models")
            if answer.status_code in (401, 403):
                raise ModelUnavailable(REFUSED.format(status=answer.status_code))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            await client.aclose()
            raise ModelUnavailable(UNREACHABLE.format(url=self._url)) from error
        except ModelUnavailable:
            await client.aclose()
            raise
        self._client, self._state = client, "ready"

    async def stop(self) -> None:
        """Cancel all and close the connections."""
        self._state = "stopped"
        for name in list(self._talks):
            self.cancel(name)
        with suppress(TimeoutError):
            # Whoever has stopped reading is not waited for.
            await asyncio.wait_for(self._idle.wait(), PATIENCE_S)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        """See model.types.Model.submit."""
        talk = self._admit(request)
        stopped = self._tasks[request.id]
        try:
            async with aclosing(self._pieces(talk, stopped)) as found:
                async for text in found:
                    yield Text(text)
            yield self._end(talk)
        except Unanswered as error:
            self._error = str(error)
            yield Cancelled(talk.text) if talk.cancelled else Failed(str(error))
        finally:
            del self._talks[request.id], self._tasks[request.id]
            if not self._talks:
                self._idle.set()

    def cancel(self, request_id: str) -> bool:
        """See model.types.Model.cancel; the connection is closed, which the server sees."""
        talk = self._talks.get(request_id)
        if talk is None or talk.cancelled:
            return False
        talk.cancelled = True
        self._tasks[request_id].set()
        return True

    async def reload(self, adapter: str | None, *, force: bool = False) -> ModelStatus:  # noqa: ARG002
        """A remote model's adapter is the server's own matter."""
        raise AdapterRefused("The model runs on another server, which keeps its own adapters.")

    async def reload_base(self, model: str) -> ModelStatus:  # noqa: ARG002
        """A remote model is the server's own matter."""
        raise ModelUnavailable("The model runs on another server: change it there.")

    async def failed(self) -> str:
        """Never: another server's device can come back without this process ending."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    def adapters(self) -> Sequence[AdapterInfo]:
        """See model.types.Model.adapters."""
        return []

    def status(self) -> ModelStatus:
        """See model.types.Model.status."""
        return ModelStatus(
            state=self._state,
            model=self._name,
            parameters=0,
            device=self._url,
            path="OpenAI-compatible server",
            demo=False,
            adapter=None,
            adapter_sha256=None,
            slots=self._capacity,
            running=len(self._talks),
            waiting=0,
            capacity=self._capacity,
            context_tokens=CONTEXT_TOKENS,
            tokens_per_s=self._tokens_per_s,
            memory_bytes=0,
            last_error=self._error,
        )

    def _admit(self, request: Request) -> Talk:
        if self._client is None or self._state != "ready":
            raise ModelUnavailable("The model is not running.")
        if request.id in self._talks:
            raise ModelUnavailable(TWICE)
        if len(self._talks) >= self._capacity:
            raise QueueFull(FULL)
        turns = newest(request.turns, budget(request))
        talk = self._talks[request.id] = Talk(request, turns, self._clock())
        self._tasks[request.id] = asyncio.Event()
        self._idle.clear()
        return talk

    async def _pieces(self, talk: Talk, stopped: asyncio.Event) -> AsyncGenerator[str, None]:
        """Text until the end, the deadline or a stop; tries again before the first piece only."""
        until = asyncio.get_running_loop().time() + talk.request.deadline_s
        for attempt in range(1, TRIES + 1):
            try:
                async with aclosing(self._asked(talk)) as found:
                    while (piece := await _next(found, stopped, until)) is not None:
                        if text := self._count(talk, piece):
                            yield text
                return
            except Unanswered as error:
                if not error.again or talk.text or attempt == TRIES or talk.cancelled:
                    raise
                await asyncio.sleep(self._pause_s * attempt)

    async def _asked(self, talk: Talk) -> AsyncGenerator[Piece, None]:
        """One try; every way to fail becomes Unanswered."""
        assert self._client is not None  # noqa: S101
        body = self._body(talk.request, talk.turns)
        try:
            async with self._client.stream("POST", f"{self._url}/completions", json=body) as answer:
                if answer.status_code in UNKNOWN_FIELD and self._extends:
                    self._extends = False
                    raise Unanswered(REFUSED.format(status=answer.status_code), again=True)
                if answer.status_code != httpx.codes.OK:
                    busy = answer.status_code == 429 or answer.status_code >= 500
                    raise Unanswered(REFUSED.format(status=answer.status_code), again=busy)
                async for piece in pieces(answer.aiter_lines()):
                    yield piece
        except httpx.HTTPError as error:
            raise Unanswered(BROKEN, again=True) from error
        except ValueError as error:
            raise Unanswered(BROKEN, again=False) from error
        if talk.reason is None:
            # The stream ended and did not say that the reply had.
            raise Unanswered(BROKEN, again=True)

    def _body(self, request: Request, turns: Sequence[Turn]) -> dict[str, object]:
        sampling = request.sampling
        body: dict[str, object] = {
            "model": self._name,
            "prompt": self._prompts.render(turns),
            "stream": True,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stop": [*self._prompts.stops, *sampling.stop][:4],
        }
        if self._extends:
            body |= {
                "top_k": sampling.top_k or -1,
                "repetition_penalty": sampling.repetition_penalty,
            }
        return body if sampling.seed is None else body | {"seed": sampling.seed}

    def _count(self, talk: Talk, piece: Piece) -> str:
        """The piece's text; a reply does not begin with white space."""
        text = piece.text if talk.text else piece.text.lstrip()
        talk.text += text
        talk.tokens += bool(piece.text)
        talk.reason = piece.reason or talk.reason
        if talk.first is None and text:
            talk.first = self._clock()
        return text

    def _end(self, talk: Talk) -> Event:
        now = self._clock()
        took = max(now - talk.born, 1e-6)
        self._tokens_per_s = 0.9 * self._tokens_per_s + 0.1 * talk.tokens / took
        return Done(
            text=talk.text,
            reason=talk.reason or "stop",
            model=self._name,
            adapter=None,
            prompt_tokens=0,
            completion_tokens=talk.tokens,
            turns_left_out=len(talk.request.turns) - len(talk.turns),
            queued_s=0.0,
            first_token_s=(talk.first or now) - talk.born,
            total_s=took,
        )


async def _next(found: AsyncIterator[Piece], stopped: asyncio.Event, until: float) -> Piece | None:
    """The next piece, None at the end; Unanswered when stopped or late."""
    left = until - asyncio.get_running_loop().time()
    coming = asyncio.ensure_future(anext(found, None))
    stop = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({coming, stop}, timeout=max(left, 0), return_when="FIRST_COMPLETED")
        if coming.done():
            return coming.result()
        raise Unanswered(LATE, again=False)
    finally:
        stop.cancel()
        if not coming.done():
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
