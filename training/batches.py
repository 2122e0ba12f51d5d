"""Which examples an optimiser step takes, and how they are laid out for the device.

A step always takes `batch` examples: the walk over the shuffled data goes on
from one epoch into the next, so an epoch's tail changes no step's size and
every example is seen as often as every other, give or take one. All of it
follows from (seed, step), so a resumed run takes what the killed one would
have. Knows token counts; knows nothing of models or files.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch

from training.examples import Example

IGNORED = -100
Batching = Literal["length", "packed", "padded"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch: [rows, length] of ids and labels.

    Labels stand beside the token that predicts them. `segments` tells the
    samples of a packed row apart (0 is padding) and `positions` begins anew in
    each; both are None where a row holds one sample: padding stands right of
    it, where causal attention never looks.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor | None
    segments: torch.Tensor | None
    # Which example each row's labels belong to; for packed rows, by segment.
    examples: tuple[int, ...]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        positions = None if self.positions is None else self.positions.to(device)
        segments = None if self.segments is None else self.segments.to(device)
        return Batch(
            self.ids.to(device), self.labels.to(device), positions, segments, self.examples
        )

    @property
    def tokens(self) -> int:
        """Places on the device, padding counted."""
        return self.ids.numel()


@lru_cache(maxsize=4)
def _shuffled(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - an order, no secret
    return tuple(order)


def step_examples(step: int, batch: int, count: int, seed: int) -> list[int]:
    """The examples of step 0, 1, …, as indices."""
    places = range(step * batch, (step + 1) * batch)
    return [_shuffled(count, seed, place // count)[place % count] for place in places]


def micro_batches(
    examples: Sequence[Example], chosen: Sequence[int], tokens: int, batching: Batching
) -> Iterator[Batch]:
    """The chosen examples in micro-batches of at most `tokens` places.

    A single example longer than that still gets a micro-batch of its own.
    """
    if batching == "packed":
        yield from _packed(examples, chosen, tokens)
        return
    ordered = chosen if batching == "padded" else _by_length(examples, chosen)
    rows: list[int] = []
    for index in ordered:
        longest = max(len(examples[i]) for i in [*rows, index])
        if rows and longest * (len(rows) + 1) > tokens:
            yield padded(examples, rows)
            rows = []
        rows.append(index)
    if rows:
        yield padded(examples, rows)


def _by_length(examples: Sequence[Example], chosen: Sequence[int]) -> list[int]:
    """Longest first: what does not fit the memory shows itself at once."""
    return sorted(chosen, key=lambda index: -len(examples[index]))


def padded(examples: Sequence[Example], rows: Sequence[int]) -> Batch:
    """One example a row."""
    length = max(len(examples[index]) for index in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for row, index in enumerate(rows):
        one = torch.tensor(examples[index].ids)
        ids[row, : len(one)] = one
        _label(labels[row], 0, examples[index])
    return Batch(ids, labels, None, None, tuple(rows))


def _label(labels: torch.Tensor, at: int, example: Example) -> None:
    """The last prompt token predicts the reply's first."""
    for start, tokens in example.targets:
        place = at + start - 1
        labels[place : place + len(tokens)] = torch.tensor(tokens)


def _packed(examples: Sequence[Example], chosen: Sequence[int], tokens: int) -> Iterator[Batch]:
    width = max(len(examples[index]) for index in chosen)
    width = max(width, min(tokens, 2048))
    rows = _fill(examples, chosen, width)
    at_once = max(1, tokens // width)
    for first in range(0, len(rows), at_once):
        yield packed(examples, rows[first : first + at_once])


def _fill(examples: Sequence[Example], chosen: Sequence[int], width: int) -> list[list[int]]:
    """First fit, longest first."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index in _by_length(examples, chosen):
        size = len(examples[index])
        row = next((at for at, left in enumerate(room) if left >= size), None)
        if row is None:
            rows.append([])
            room.append(width)
            row = len(rows) - 1
        rows[row].append(index)
        room[row] -= size
    return rows


def packed(examples: Sequence[Example], rows: Sequence[Sequence[int]]) -> Batch:
    """Several examples a row, told apart by `segments`."""
    length = max(sum(len(examples[index]) for index in row) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels, positions, segments = torch.full_like(ids, IGNORED), ids.clone(), ids.clone()
    order: list[int] = []
    for row, members in enumerate(rows):
        at = 0
        for index in members:
            one = torch.tensor(examples[index].ids)
            place = slice(at, at + len(one))
            ids[row, place], positions[row, place] = one, torch.arange(len(one))
            order.append(index)
            segments[row, place] = len(order)
            _label(labels[row], at, examples[index])
            at += len(one)
    return Batch(ids, labels, positions, segments, tuple(order))


def block_mask(segments: torch.Tensor) -> torch.Tensor:
    """[rows, 1, length, length], true where a token may look: backwards, in its own sample."""
    length = segments.shape[1]
    same = segments.unsqueeze(1) == segments.unsqueeze(2)
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return (same & causal).unsqueeze(1)
