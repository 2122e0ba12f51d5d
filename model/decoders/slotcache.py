"""A transformers cache over static slots: row i of a forward pass is slot `rows[i]`.

Each slot's tokens stand in columns 0, 1, 2, …, so a column is a position, rows
of any length go together without padding on the left, and a closed slot's KV
stays where it is. Knows tensors and transformers' Cache; knows nothing of
sampling, adapters or text.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache

Pair = tuple[torch.Tensor, torch.Tensor]


class SlotCache(Cache):
    """Keys and values of each layer, [slots, kv heads, context, head size]."""

    def __init__(self, slots: int, context: int, device: torch.device) -> None:
        super().__init__(layers=[])
        self._slots, self._context, self._device = slots, context, device
        self._stores: dict[int, Pair] = {}
        self._at: tuple[torch.Tensor, torch.Tensor] | None = None
        self._rows: list[int] = []
        self._counts: list[int] = []
        self._width = self._queries = 0

    def point(
        self, rows: list[int], starts: list[int], counts: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Say which slots come next, where their new tokens begin and how many each has.

        Returns position ids, [rows, tokens], and an additive mask,
        [rows, 1, tokens, columns], of 0 and -inf's stand-in as booleans.
        """
        self._rows, self._counts = rows, counts
        self._queries = max(counts)
        self._width = max(s + n for s, n in zip(starts, counts, strict=True))
        first = torch.tensor(starts, device=self._device).unsqueeze(1)
        positions = first + torch.arange(self._queries, device=self._device)
        # Queries beyond a row's count are padding: their results are read by nobody.
        positions = positions.clamp(max=self._context - 1)
        columns = torch.arange(self._width, device=self._device)
        seen = columns <= positions[:, None, :, None]
        real = [(i, j) for i, count in enumerate(counts) for j in range(count)]
        picked = torch.tensor(real, device=self._device)
        slots = torch.tensor(rows, device=self._device)[picked[:, 0]]
        self._source = (picked[:, 0], picked[:, 1])
        self._at = (slots, positions[picked[:, 0], picked[:, 1]])
        return positions, seen

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> Pair:
        """Write the new tokens of each row, and return all that the rows hold."""
        if layer_idx not in self._stores:
            self._stores[layer_idx] = (self._empty(key_states), self._empty(value_states))
        keys, values = self._stores[layer_idx]
        assert self._at is not None  # noqa: S101
        (rows, columns), (slots, places) = self._source, self._at
        keys[slots, :, places] = key_states[rows, :, columns]
        values[slots, :, places] = value_states[rows, :, columns]
        return self._held(keys), self._held(values)

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002
        """Tokens before the new ones, in the longest row."""
        return self._width - self._queries

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:  # noqa: ARG002
        """Columns that a mask covers, and the first of them."""
        return self._width, 0

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        # Zeros, since a masked column still counts as 0 times what stands in it.
        shape = (self._slots, like.shape[1], self._context, like.shape[3])
        return torch.zeros(shape, dtype=like.dtype, device=like.device)

    def _held(self, store: torch.Tensor) -> torch.Tensor:
        rows = self._rows
        if rows == list(range(rows[0], rows[0] + len(rows))):
            return store[rows[0] : rows[0] + len(rows), :, : self._width]
        return store[rows, :, : self._width]
