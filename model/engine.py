"""Continuous batching over a decoder's slots: replies join and leave between any two steps.

Knows slots, token ids and text; knows nothing of torch, waiting, fairness,
threads, Telegram or people. One call of `advance` puts in a chunk of the
prompts that wait, launches a step for every reply, and reads what was drawn.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal

from model.decoders.protocol import Decoder, DeviceLost, Draw, Pending
from model.prompt import Fitted, PromptBuilder
from model.slots import Slots
from model.text import TextStream
from model.types import Request

CANARY = 4  # tokens


@dataclass(eq=False, slots=True)
class Running:
    """One reply being written. `fresh` is text that nobody has been told of yet.

    `fed` prompt tokens stand in the slot; `launched` tokens were asked of the
    device, and `tokens` are those that came back.
    """

    request: Request
    slot: int
    prompt: list[int]
    kept: int
    fed: int
    stream: TextStream
    adapter: str | None
    turns_left_out: int
    limit: int
    started: float
    first_token: float | None = None
    launched: int = 0
    tokens: list[int] = field(default_factory=list)
    written: int = 0
    fresh: str = ""
    ended: Literal["stop", "length", "failed"] | None = None
    left: bool = False

    @property
    def steps(self) -> bool:
        """Whether the next decode step is for this reply too."""
        return self.fed == len(self.prompt) and not self.ended and self.launched < self.limit


class Engine:
    """Slots over a decoder."""

    def __init__(self, decoder: Decoder, clock: Callable[[], float] = time.monotonic) -> None:
        self.decoder = decoder
        self._clock = clock
        self._prompts = PromptBuilder(decoder.tokenizer)
        self._slots = Slots(decoder.slots)
        self._flights: deque[tuple[Pending, dict[int, Running]]] = deque()
        self.running: list[Running] = []
        self.kept_tokens = 0
        self.error: str | None = None

    @property
    def serving(self) -> Decoder | None:
        """The decoder, or None while one model has gone and the next has not come."""
        found: Decoder | None = self.__dict__.get("decoder")
        return found

    @property
    def width(self) -> int:
        """How many replies can be written at the same time."""
        return min(self.decoder.width, self.decoder.slots)

    @property
    def room(self) -> int:
        """How many replies may join now."""
        return self.width - len(self.running)

    @property
    def parked(self) -> int:
        """How many conversations' KV stands ready for their next turn."""
        return self._slots.parked

    @property
    def one_version(self) -> bool:
        """Whether every reply is on the current adapter, so that another may come."""
        decoder = self.decoder
        return all(decoder.version(r.slot) == decoder.current for r in self.running)

    def join(self, request: Request, seed: int) -> Running:
        """Give a request a slot; its prompt goes in with the next calls of `advance`."""
        decoder, sampling = self.decoder, request.sampling
        fitted = self._fitted(request)
        seed = seed if sampling.seed is None else sampling.seed
        slot, keep = self._slots.take(
            request.conversation,
            fitted.ids,
            lambda number: decoder.version(number) == decoder.current,
        )
        running = self._reply(request, slot, keep, fitted)
        self.running.append(running)
        self.kept_tokens += keep
        decoder.open(
            slot,
            fitted.ids,
            keep,
            Draw(
                sampling.temperature,
                sampling.top_p,
                sampling.top_k,
                sampling.repetition_penalty,
                seed,
            ),
        )
        return running

    def advance(self) -> int:
        """One round; returns how many tokens were read."""
        older = len(self._flights)
        chunks, last = self._next_chunks()
        if chunks:
            self._extend(chunks, last)
        stepping = [running.slot for running in self.running if running.steps]
        if stepping:
            self._launch(self.decoder.step(stepping), stepping)
        # What was launched now is read in the next round, while the device works on.
        return self._read(older if self.decoder.ahead else len(self._flights))

    def leave(self, running: Running) -> None:
        """Free the slot of a reply at once; its KV stays for the conversation's next turn."""
        if running.left:
            return
        running.left = True
        self.running.remove(running)
        self.decoder.close(running.slot)
        # The newest token's KV is written by the step after it, which may never come.
        sure = [*running.prompt[: running.fed], *running.tokens[:-1]]
        self._slots.park(running.slot, [] if running.ended == "failed" else sure)

    def clear(self) -> None:
        """Free every slot, whatever state a failed step left them in."""
        for running in self.running:
            running.left = True
        self.running.clear()
        self._flights.clear()
        self._slots.clear()
        self.decoder.clear()

    def unload(self) -> None:
        """Let go of the model, so that its memory is free; the engine cannot be used until
        it has another decoder.
        """
        del self.decoder

    def canary(self) -> None:
        """Write a few tokens before anyone is served; raises what the decoder raises."""
        slot, decoder = 0, self.decoder
        prompt = list(decoder.tokenizer("Hello.", add_special_tokens=False)["input_ids"]) or [1]
        decoder.open(slot, prompt, 0, Draw(0.0, 1.0, 0, 1.0, 0))
        decoder.extend({slot: prompt}, frozenset({slot})).tokens()
        for _ in range(CANARY):
            decoder.step([slot]).tokens()
        decoder.clear()

    def _fitted(self, request: Request) -> Fitted:
        context = self.decoder.context
        room = context - request.sampling.max_new_tokens
        return self._prompts.fit(request.turns, max(room, context // 2))

    def _reply(self, request: Request, slot: int, keep: int, fitted: Fitted) -> Running:
        adapter, sampling = self.decoder.adapter, request.sampling
        return Running(
            request=request,
            slot=slot,
            prompt=fitted.ids,
            kept=keep,
            fed=keep,
            stream=TextStream(self.decoder.tokenizer, (*self._prompts.stops, *sampling.stop)),
            adapter=adapter.name if adapter else None,
            turns_left_out=fitted.turns_left_out,
            limit=min(sampling.max_new_tokens, self.decoder.context - len(fitted.ids)),
            started=self._clock(),
        )

    def _next_chunks(self) -> tuple[dict[int, list[int]], frozenset[int]]:
        """Prompt tokens for one `extend`, first come first served, whole chunks only.

        Where a prompt is cut follows from its own length: company never moves it.
        """
        most = left = self.decoder.prefill_tokens
        chunks: dict[int, list[int]] = {}
        last = set()
        for running in self.running:
            size = min(len(running.prompt) - running.fed, most)
            if not 0 < size <= left:
                continue
            chunks[running.slot] = running.prompt[running.fed : running.fed + size]
            running.fed += size
            left -= size
            if running.fed == len(running.prompt):
                last.add(running.slot)
        return chunks, frozenset(last)

    def _extend(self, chunks: dict[int, list[int]], last: frozenset[int]) -> None:
        """Too little memory for one prompt ends that reply; the others go on."""
        try:
            pending = self.decoder.extend(chunks, last)
        except DeviceLost:
            raise
        except Exception as error:
            self.error = type(error).__name__
            for running in self.running:
                if running.slot in chunks:
                    running.ended = "failed"
            return
        self._launch(pending, last)

    def _launch(self, pending: Pending, slots: Collection[int]) -> None:
        rows = {r.slot: r for r in self.running if r.slot in slots}
        for running in rows.values():
            running.launched += 1
        self._flights.append((pending, rows))

    def _read(self, flights: int) -> int:
        read = 0
        for _ in range(flights):
            pending, rows = self._flights.popleft()
            for slot, token in pending.tokens().items():
                running = rows[slot]
                # A step launched ahead may draw for a reply that has ended meanwhile.
                if not running.left and not running.ended:
                    self._add(running, token)
                    read += 1
        return read

    def _add(self, running: Running, token: int) -> None:
        running.first_token = running.first_token or self._clock()
        running.tokens.append(token)
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
