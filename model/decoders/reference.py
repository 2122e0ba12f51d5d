"""The reference decoder: any transformers causal LM with PEFT adapters, CPU or GPU.

It is the oracle that faster decoders are compared with. Slots on one adapter
version step together; a sequence stays on the version that it began with.
Knows token ids and adapters; knows nothing of text, people or fairness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from model.decoders.banks import Banks
from model.decoders.protocol import Draw
from model.decoders.slotcache import SlotCache
from model.memory import CONTEXT_TOKENS
from model.sampling import Sampler, choose
from model.types import AdapterInfo

# Prompt tokens in one forward pass: a CPU takes as long as they are many.
CPU_PREFILL, GPU_PREFILL = 64, 1024


@dataclass(frozen=True, slots=True)
class Drawn:
    """Tokens that are there already."""

    found: dict[int, int]

    def tokens(self) -> dict[int, int]:
        """Slot to token."""
        return self.found


@dataclass(slots=True)
class Held:
    """What stands in a slot: its adapter version, its length, and what was drawn last."""

    version: int
    length: int
    sampler: Sampler | None
    token: int = 0


class ReferenceDecoder:
    """Slots over a transformers model; `model` may already be quantised."""

    ahead = False

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        *,
        base: str | None = None,
        demo: bool = False,
        slots: int = 8,
        width: int = 4,
    ) -> None:
        self._base = model.eval()
        self.tokenizer, self.name, self.base, self.demo = tokenizer, name, base, demo
        self.path = "transformers, batched"
        self.quantised_modules = 0
        self.parameters = int(model.num_parameters())
        self.slots, self.width = max(slots, width), width
        self.context = _context(model.config)
        self.prefill_tokens = CPU_PREFILL if self.device.type == "cpu" else GPU_PREFILL
        self._banks = Banks(model, base)
        self._held: dict[int, Held] = {}
        self._cache = SlotCache(self.slots, self.context, self.device)

    @property
    def model(self) -> Any:
        """The transformers model with its adapters, for comparing with its own `generate`."""
        return self._banks.model

    @property
    def adapter(self) -> AdapterInfo | None:
        """What new sequences are opened on."""
        return self._banks.adapter

    @property
    def current(self) -> int:
        """The version of `adapter`."""
        return self._banks.current

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._base.device
        return device

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a reply."""
        return eos_ids(self._base, self.tokenizer)

    def memory_bytes(self) -> int:
        """What the device's allocator holds; on a CPU the size of the weights."""
        if self.device.type == "cuda":
            return int(torch.cuda.memory_allocated(self.device))
        return int(self.model.get_memory_footprint())

    def open(self, slot: int, prompt: Sequence[int], keep: int, draw: Draw) -> None:
        """See the protocol."""
        self._held[slot] = Held(self.current, keep, Sampler(draw, prompt))

    def extend(self, chunks: dict[int, list[int]], last: frozenset[int]) -> Drawn:
        """See the protocol."""
        found: dict[int, int] = {}
        for group in self._groups(chunks):
            logits = self._forward(group)
            ends = [slot for slot in group if slot in last]
            if ends:
                rows = [list(group).index(slot) for slot in ends]
                found |= self._draw(ends, logits[rows])
        return Drawn(found)

    def step(self, slots: Sequence[int]) -> Drawn:
        """See the protocol."""
        found: dict[int, int] = {}
        for version in sorted({self._held[slot].version for slot in slots}):
            rows = [slot for slot in sorted(slots) if self._held[slot].version == version]
            logits = self._forward({slot: [self._held[slot].token] for slot in rows})
            found |= self._draw(rows, logits)
        return Drawn(found)

    def close(self, slot: int) -> None:
        """See the protocol; an adapter that no sequence uses any more is dropped."""
        self._held[slot].sampler = None
        self._banks.keep({s.version for s in self._held.values() if s.sampler})

    def version(self, slot: int) -> int:
        """See the protocol."""
        held = self._held.get(slot)
        return held.version if held else -1

    def clear(self) -> None:
        """See the protocol; broken values must not stay in a column that is read again."""
        self._held.clear()
        self._cache = SlotCache(self.slots, self.context, self.device)
        self._banks.keep(set())

    def stage(self, info: AdapterInfo | None) -> AdapterInfo | None:
        """See the protocol."""
        return self._banks.stage(info)

    def switch(self, staged: AdapterInfo | None) -> None:
        """See the protocol."""
        self._banks.switch(staged)
        self._banks.keep({s.version for s in self._held.values() if s.sampler})

    @torch.inference_mode()
    def _forward(self, chunks: dict[int, list[int]]) -> torch.Tensor:
        """Put tokens in; the logits after each row's last one, [rows, vocabulary]."""
        held = [self._held[slot] for slot in chunks]
        counts = [len(ids) for ids in chunks.values()]
        model = self._banks.use(held[0].version)
        positions, seen = self._cache.point(list(chunks), [h.length for h in held], counts)
        width = max(counts)
        ids = [list(part) + [0] * (width - len(part)) for part in chunks.values()]
        ends = sorted({count - 1 for count in counts})
        out = model(
            input_ids=torch.tensor(ids, device=self.device),
            attention_mask=_additive(seen, self._base.dtype),
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=torch.tensor(ends, device=self.device),
        )
        for one, count in zip(held, counts, strict=True):
            one.length += count
        at = [ends.index(count - 1) for count in counts]
        logits: torch.Tensor = out.logits[torch.arange(len(at)), at]
        return logits

    def _draw(self, slots: list[int], logits: torch.Tensor) -> dict[int, int]:
        samplers = [self._held[slot].sampler for slot in slots]
        tokens = choose(logits, [s for s in samplers if s is not None])
        for slot, token in zip(slots, tokens, strict=True):
            self._held[slot].token = token
        return dict(zip(slots, tokens, strict=True))

    def _groups(self, chunks: dict[int, list[int]]) -> Iterator[dict[int, list[int]]]:
        """Chunks that go together: one version, and on a GPU of similar length."""
        group: dict[int, list[int]] = {}
        key = lambda slot: (self._held[slot].version, len(chunks[slot]))  # noqa: E731
        for slot in sorted(chunks, key=key):
            version, count = key(slot)
            if group and (
                self.device.type == "cpu"
                or self._held[next(iter(group))].version != version
                or (len(group) + 1) * count > 2 * self.prefill_tokens
            ):
                yield group
                group = {}
            group[slot] = chunks[slot]
        if group:
            yield group


def eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a reply, as the model and its tokenizer say."""
    ids = getattr(model.generation_config, "eos_token_id", None)
    found = set(ids) if isinstance(ids, list) else {ids}
    return frozenset(i for i in found | {tokenizer.eos_token_id} if i is not None)


def _context(config: Any) -> int:
    """Tokens a slot may hold; a sliding window would need a mask of its own beyond it."""
    able = [
        getattr(config, "max_position_embeddings", None),
        getattr(config, "sliding_window", None),
        CONTEXT_TOKENS,
    ]
    return min(int(value) for value in able if value)


def _additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)
