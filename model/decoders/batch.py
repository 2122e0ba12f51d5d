"""A growing and shrinking batch of sequences over one transformers KV cache.

Rows are left-padded to one width, so that every row's newest token stands in
the last column; rows that join are padded to the batch, rows that leave are cut
out together before the next step, with the columns that only they needed. Knows
tensors and transformers' DynamicCache; knows nothing of sampling, adapters or
text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache

Layers = list[tuple[torch.Tensor, torch.Tensor]]


def _layers(cache: Any) -> Layers:
    """Keys and values of each layer, [rows, kv heads, width, head size]."""
    return [(layer.keys, layer.values) for layer in cache.layers]


def _cache(layers: Layers) -> Any:
    cache = DynamicCache()
    for index, (keys, values) in enumerate(layers):
        cache.update(keys, values, index)
    return cache


class Batch:
    """Sequences that take their decode steps together."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._cache: Any = None
        self._mask = torch.zeros(0, 0, dtype=torch.long, device=device)
        # A row each, in order; None has left and is not yet cut out.
        self._rows: list[int | None] = []

    @property
    def slots(self) -> list[int]:
        """The sequences, in the order of `step`."""
        return [slot for slot in self._rows if slot is not None]

    @torch.inference_mode()
    def join(self, prompts: dict[int, list[int]]) -> torch.Tensor:
        """Prefill prompts as new rows, together; their next-token logits, [rows, vocabulary]."""
        width = max(len(ids) for ids in prompts.values())
        rows = [[0] * (width - len(ids)) + ids for ids in prompts.values()]
        seen = [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts.values()]
        mask = torch.tensor(seen, device=self._device)
        cache = DynamicCache()
        out = self._model(
            input_ids=torch.tensor(rows, device=self._device),
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cut()
        self._append(_layers(cache), mask)
        self._rows.extend(prompts)
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    @torch.inference_mode()
    def step(self, tokens: list[int]) -> torch.Tensor:
        """One decode step; `tokens` in the order of `slots`; logits [rows, vocabulary]."""
        self._cut()
        ids = torch.tensor(tokens, device=self._device).unsqueeze(1)
        positions = self._mask.sum(dim=1, keepdim=True)
        self._mask = pad(self._mask, (0, 1), value=1)
        out = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def leave(self, slot: int) -> None:
        """Drop a sequence; costs nothing now."""
        self._rows[self._rows.index(slot)] = None

    def _cut(self) -> None:
        """Cut out the rows that left and the columns that only they needed."""
        keep = [row for row, slot in enumerate(self._rows) if slot is not None]
        if len(keep) == len(self._rows):
            return
        self._rows = list(self.slots)
        if not keep:
            self._cache = None
            self._mask = self._mask[:0, :0]
            return
        rows = torch.tensor(keep, device=self._device)
        self._mask = self._mask.index_select(0, rows)
        first = int(self._mask.any(dim=0).nonzero()[0])
        self._mask = self._mask[:, first:]
        self._cache = _cache(
            [
                (k.index_select(0, rows)[:, :, first:], v.index_select(0, rows)[:, :, first:])
                for k, v in _layers(self._cache)
            ]
        )

    def _append(self, new: Layers, mask: torch.Tensor) -> None:
        if self._cache is None:
            self._cache, self._mask = _cache(new), mask
            return
        old = _layers(self._cache)
        width = max(self._mask.shape[1], mask.shape[1])
        grow, fit = width - self._mask.shape[1], width - mask.shape[1]
        self._mask = torch.cat([pad(self._mask, (grow, 0)), pad(mask, (fit, 0))])
        self._cache = _cache(
            [
                (
                    torch.cat([pad(ok, (0, 0, grow, 0)), pad(nk, (0, 0, fit, 0))]),
                    torch.cat([pad(ov, (0, 0, grow, 0)), pad(nv, (0, 0, fit, 0))]),
                )
                for (ok, ov), (nk, nv) in zip(old, new, strict=True)
            ]
        )
