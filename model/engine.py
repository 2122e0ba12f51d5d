"""Continuous batching: sequences join and leave between decode steps.

Knows slots, tokens and text; knows nothing of waiting, fairness, threads,
Telegram or people. One call of `step` writes one token for every sequence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from model.prompt import PromptBuilder
from model.sampling import Sampler
from model.text import TextStream
from model.types import AdapterInfo, Request


class Decoder(Protocol):
    """What the engine needs of a model; see model/decoders/."""

    tokenizer: Any
    name: str
    demo: bool
    adapter: AdapterInfo | None

    @property
    def context(self) -> int: ...  # noqa: D102
    @property
    def eos_ids(self) -> frozenset[int]: ...  # noqa: D102
    @property
    def device(self) -> Any: ...  # noqa: D102
    @property
    def parameters(self) -> int: ...  # noqa: D102
    def memory_bytes(self) -> int: ...  # noqa: D102
    def prefill(self, slot: int, ids: list[int]) -> Any: ...  # noqa: D102
    def step(self, tokens: dict[int, int]) -> dict[int, Any]: ...  # noqa: D102
    def release(self, slot: int) -> None: ...  # noqa: D102
    def load_adapter(self, info: AdapterInfo | None) -> None: ...  # noqa: D102


@dataclass(slots=True)
class Sequence:
    """One reply being written."""

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
        self.sequences: dict[int, Sequence] = {}

    @property
    def has_room(self) -> bool:
        """Whether a sequence may join."""
        return len(self.sequences) < self.slots

    def join(self, request: Request, seed: int) -> Sequence:
        """Prefill and write the first token."""
        wanted = request.sampling
        room = self.decoder.context - wanted.max_new_tokens
        fitted = self._prompts.fit(request.turns, max(room, self.decoder.context // 2))
        slot = next(i for i in range(self.slots) if i not in self.sequences)
        sequence = Sequence(
            request,
            Sampler(wanted, wanted.seed if wanted.seed is not None else seed, fitted.ids),
            TextStream(self.decoder.tokenizer, (*self._prompts.stops, *wanted.stop)),
            self.decoder.adapter.name if self.decoder.adapter else None,
            len(fitted.ids),
            fitted.turns_left_out,
            min(wanted.max_new_tokens, self.decoder.context - len(fitted.ids)),
            self._clock(),
        )
        logits = self.decoder.prefill(slot, fitted.ids)
        self.sequences[slot] = sequence
        self._write(sequence, logits)
        return sequence

    def step(self) -> list[Sequence]:
        """One token for every unfinished sequence; returns those that wrote."""
        self._sweep()
        live = {slot: s.last for slot, s in self.sequences.items()}
        if not live:
            return []
        for slot, logits in self.decoder.step(live).items():
            self._write(self.sequences[slot], logits)
        return list(self.sequences.values())

    def leave(self, request_id: str) -> Sequence | None:
        """Free the slot of a request at once."""
        for slot, sequence in self.sequences.items():
            if sequence.request.id == request_id:
                del self.sequences[slot]
                self.decoder.release(slot)
                return sequence
        return None

    def _sweep(self) -> None:
        for sequence in list(self.sequences.values()):
            if sequence.ended:
                self.leave(sequence.request.id)

    def _write(self, sequence: Sequence, logits: Any) -> None:
        token = sequence.sampler.choose(logits)
        sequence.first_token = sequence.first_token or self._clock()
        sequence.last = token
        if token in self.decoder.eos_ids:
            sequence.ended = "stop"
        else:
            sequence.written += 1
            sequence.fresh += sequence.stream.push(token)
            if sequence.stream.stopped:
                sequence.ended = "stop"
            elif sequence.written >= sequence.limit:
                sequence.ended = "length"
        if sequence.ended:
            sequence.fresh += sequence.stream.finish()
