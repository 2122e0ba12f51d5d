"""Continuous batching: replies join and leave between decode steps.

Knows slots, tokens and text; knows nothing of waiting, fairness, threads,
Telegram or people. One call of `step` writes one token for every reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from model.prompt import Fitted, PromptBuilder
from model.sampling import Sampler, choose
from model.text import TextStream
from model.types import AdapterInfo, Request

# Slots, and their logits in one tensor, [slots, vocabulary].
Logits = Iterable[tuple[list[int], Any]]


class Decoder(Protocol):
    """What the engine needs of a model; see model/decoders/."""

    tokenizer: Any
    name: str
    path: str
    demo: bool
    adapter: AdapterInfo | None
    quantised_modules: int
    joins_at_once: int

    @property
    def context(self) -> int: ...  # noqa: D102
    @property
    def eos_ids(self) -> frozenset[int]: ...  # noqa: D102
    @property
    def device(self) -> Any: ...  # noqa: D102
    @property
    def parameters(self) -> int: ...  # noqa: D102
    def memory_bytes(self) -> int: ...  # noqa: D102
    def prefill(self, prompts: dict[int, list[int]]) -> Logits: ...  # noqa: D102
    def step(self, tokens: dict[int, int]) -> Logits: ...  # noqa: D102
    def release(self, slot: int) -> None: ...  # noqa: D102
    def clear(self) -> None: ...  # noqa: D102
    def load_adapter(self, info: AdapterInfo | None) -> None: ...  # noqa: D102


@dataclass(slots=True)
class Running:
    """One reply being written. `fresh` is text that nobody has been told of yet."""

    request: Request
    sampler: Sampler
    stream: TextStream
    adapter: str | None
    prompt_tokens: int
    turns_left_out: int
    limit: int
    started: float
    first_token: float | None = None
    written: int = 0
    last: int = 0
    fresh: str = ""
    ended: Literal["stop", "length"] | None = None


class Engine:
    """Slots over a decoder."""

    def __init__(
        self, decoder: Decoder, slots: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.decoder = decoder
        self.slots = slots
        self._clock = clock
        self._prompts = PromptBuilder(decoder.tokenizer)
        self.running: dict[int, Running] = {}

    @property
    def room(self) -> int:
        """How many replies may join now without holding up the running ones for long."""
        return min(self.slots - len(self.running), self.decoder.joins_at_once)

    def join(self, wanted: Sequence[tuple[Request, int]]) -> list[Running]:
        """Prefill requests, each with a seed, and write their first tokens."""
        free = (slot for slot in range(self.slots) if slot not in self.running)
        joined: dict[int, Running] = {}
        prompts: dict[int, list[int]] = {}
        for slot, (request, seed) in zip(free, wanted, strict=False):
            fitted = self._fitted(request)
            prompts[slot] = fitted.ids
            joined[slot] = self._reply(request, seed, fitted)
        self.running.update(joined)
        for slots, logits in self.decoder.prefill(prompts):
            self._write(slots, logits)
        return list(joined.values())

    def step(self) -> int:
        """One token for every unfinished reply; returns how many wrote."""
        for running in [r for r in self.running.values() if r.ended]:
            self.leave(running.request.id)
        live = {slot: running.last for slot, running in self.running.items()}
        if live:
            for slots, logits in self.decoder.step(live):
                self._write(slots, logits)
        return len(live)

    def leave(self, request_id: str) -> None:
        """Free the slot of a request at once; nothing happens when it has none."""
        for slot, running in self.running.items():
            if running.request.id == request_id:
                del self.running[slot]
                self.decoder.release(slot)
                return

    def clear(self) -> None:
        """Free every slot, whatever state a failed step left them in."""
        self.running.clear()
        self.decoder.clear()

    def _fitted(self, request: Request) -> Fitted:
        context = self.decoder.context
        room = context - request.sampling.max_new_tokens
        return self._prompts.fit(request.turns, max(room, context // 2))

    def _reply(self, request: Request, seed: int, fitted: Fitted) -> Running:
        sampling, adapter = request.sampling, self.decoder.adapter
        return Running(
            request=request,
            sampler=Sampler(sampling, seed if sampling.seed is None else sampling.seed, fitted.ids),
            stream=TextStream(self.decoder.tokenizer, (*self._prompts.stops, *sampling.stop)),
            adapter=adapter.name if adapter else None,
            prompt_tokens=len(fitted.ids),
            turns_left_out=fitted.turns_left_out,
            limit=min(sampling.max_new_tokens, self.decoder.context - len(fitted.ids)),
            started=self._clock(),
        )

    def _write(self, slots: list[int], logits: Any) -> None:
        replies = [self.running[slot] for slot in slots]
        tokens = choose(logits, [running.sampler for running in replies])
        for running, token in zip(replies, tokens, strict=True):
            self._add(running, token)

    def _add(self, running: Running, token: int) -> None:
        running.first_token = running.first_token or self._clock()
        running.last = token
        if token in self.decoder.eos_ids:
            running.ended = "stop"
        else:
            running.written += 1
            running.fresh += running.stream.push(token)
            if running.stream.stopped:
                running.ended = "stop"
            elif running.written >= running.limit:
                running.ended = "length"
        if running.ended:
            running.fresh += running.stream.finish()
