"""The classifier as torch sees it while it learns: MiniLM, low-rank changes, a small head.

Only the low-rank changes and the head learn; only they are shipped. Serving
does the same arithmetic in NumPy (bot/safety/encoder.py). Knows nothing of
data, thresholds or files but the encoder's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 3  # at least a concern, at least high, imminent


@dataclass(frozen=True, slots=True)
class Shape:
    """What the manifest must repeat to load the weights again."""

    rank: int = 8
    first: int = 2  # layers below stay as published, which halves the work of a step
    scale: float = 2.0
    hidden: int = 128
    categories: int = 9


class LowRank(nn.Module):
    """A frozen linear layer and a learned change of low rank."""

    def __init__(self, base: nn.Linear, shape: Shape, drop: float) -> None:
        super().__init__()
        self.base, self.scale, self.drop = base, shape.scale, nn.Dropout(drop)
        self.down = nn.Parameter(torch.randn(shape.rank, base.in_features) / base.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, shape.rank))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        change = (self.drop(x) @ self.down.T) @ self.up.T
        out: Tensor = self.base(x) + self.scale * change
        return out


class Net(nn.Module):
    """Token ids to logits: LEVELS cumulative levels, then the categories."""

    def __init__(self, encoder: nn.Module, width: int, shape: Shape, drop: float = 0.1) -> None:
        super().__init__()
        self.encoder, self.shape = encoder, shape
        self.dropout = nn.Dropout(drop)
        self.first = nn.Linear(2 * width, shape.hidden)
        self.second = nn.Linear(shape.hidden, LEVELS + shape.categories)

    def forward(self, ids: Tensor, own: Tensor) -> Tensor:
        """`ids` [texts, tokens] with 0 as padding, `own` marks the newest message's tokens."""
        real = ids != 0
        kinds = (real & ~own).long()
        hidden = self.encoder(input_ids=ids, attention_mask=real, token_type_ids=kinds)[0]
        inside = own[..., None]
        mean = (hidden * inside).sum(1) / inside.sum(1)
        most = hidden.masked_fill(~inside, -1e4).amax(1)
        inner = nn.functional.gelu(
            self.first(self.dropout(torch.cat([mean, most], 1))), approximate="tanh"
        )
        logits: Tensor = self.second(self.dropout(inner))
        return logits

    def changes(self) -> Iterator[tuple[str, LowRank]]:
        """The layers that learn, by the checkpoint's names."""
        for name, module in self.encoder.named_modules():
            if isinstance(module, LowRank):
                yield name, module


def build(folder: Path, shape: Shape, drop: float = 0.1) -> Net:
    """The published encoder with fresh low-rank changes and a fresh head."""
    from transformers import BertConfig, BertModel

    config = BertConfig.from_pretrained(folder, hidden_act="gelu_pytorch_tanh")
    encoder = BertModel.from_pretrained(folder, config=config, add_pooling_layer=False)
    for parameter in encoder.parameters():
        parameter.requires_grad = False
    for module in list(encoder.encoder.layer[shape.first :].modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, LowRank(child, shape, drop))
    return Net(encoder, config.hidden_size, shape, drop)


def batch(rows: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """`ids` and `own` for rows with `.ids` and `.start`, padded to the longest."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    own = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        own[i, row.start : len(row.ids)] = True
    return ids, own
