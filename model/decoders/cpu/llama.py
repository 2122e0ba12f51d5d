"""A Llama's forward pass over static slots on a CPU, with as few operations as will do.

The residual stands in fp32 beside one constant column, √(hidden · ε), so that
one vector norm is the root mean square with its ε. Rotation is one complex
product (see `shape.paired`). Each row attends to its own slot, by itself, so
company changes no bit of a result. Knows tensors; knows nothing of sampling,
adapters' files or text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention, silu

from model.decoders.cpu.matrix import Asked, Matrix
from model.decoders.cpu.shape import Shape, paired


class Delta(Protocol):
    """What adapters add to a fused matrix's result."""

    def add(self, layer: int, matrix: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """y, and what the rows' adapters make of x."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Fused matrices, and the norms' weights times √hidden."""

    qkv: Matrix
    out: Matrix
    gate_up: Matrix
    down: Matrix
    before: torch.Tensor
    after: torch.Tensor


class Llama:
    """Weights and KV, [layers][2, slots, groups, context, head] in fp32."""

    def __init__(self, model: Any, shape: Shape, slots: int, context: int, kind: Asked) -> None:
        self.shape, self._context, self._slots = shape, context, slots
        body = model.model
        root = shape.hidden**0.5
        self._embedding = body.embed_tokens.weight.detach()
        self._layers = _layers(body.layers, shape, kind, root)
        self._last = body.norm.weight.detach().float() * root
        self._head = Matrix(model.lm_head.weight.detach(), "fp32" if kind == "fp32" else "auto")
        self._turns = _rotations(body.rotary_emb, context)
        self._constant = (shape.hidden * shape.epsilon) ** 0.5
        self.kinds = sorted({m.kind for m in self._matrices()})
        self.reset()

    def reset(self) -> None:
        """Empty every slot; memory is taken only where tokens come to stand."""
        shape = self.shape
        size = (2, self._slots, shape.groups, self._context, shape.head)
        self._kv = [torch.empty(size) for _ in self._layers]

    @property
    def bytes(self) -> int:
        """Memory of the weights, all copies."""
        embedding = int(self._embedding.numel() * self._embedding.element_size())
        return embedding + sum(matrix.bytes for matrix in self._matrices())

    @property
    def token_bytes(self) -> int:
        """Memory of one token's keys and values."""
        return 2 * 4 * self.shape.layers * self.shape.groups * self.shape.head

    @torch.inference_mode()
    def step(
        self,
        tokens: Sequence[int],
        slots: Sequence[int],
        places: Sequence[int],
        delta: Delta | None,
    ) -> torch.Tensor:
        """One token a row into its slot at its place; logits [rows, vocabulary]."""
        shape, where = self.shape, list(zip(slots, places, strict=True))
        h, body = self._begin(tokens)
        turns = self._turns[torch.tensor(places)].unsqueeze(1)
        mixed = torch.empty(len(tokens), shape.heads * shape.head)
        for index, layer in enumerate(self._layers):
            x = _norm(h, body, layer.before, layer.qkv.dtype)
            y = _with(delta, index, "qkv", x, layer.qkv.few(x))
            self._attend(index, y, turns, where, mixed)
            x = mixed.to(layer.out.dtype)
            body += _with(delta, index, "out", x, layer.out.few(x))
            x = _norm(h, body, layer.after, layer.gate_up.dtype)
            gate, up = _with(delta, index, "gate_up", x, layer.gate_up.few(x)).chunk(2, dim=1)
            x = silu(gate).mul_(up)
            body += _with(delta, index, "down", x, layer.down.few(x))
        return self._head.few(_norm(h, body, self._last, self._head.dtype))

    @torch.inference_mode()
    def chunk(
        self, tokens: Sequence[int], slot: int, start: int, delta: Delta | None, *, last: bool
    ) -> torch.Tensor | None:
        """Prompt tokens into one slot from `start` on; `last` asks for the logits after them."""
        shape, count = self.shape, len(tokens)
        h, body = self._begin(tokens)
        turns = self._turns[start : start + count].unsqueeze(1)
        seen = torch.ones(count, start + count, dtype=torch.bool).tril(start)
        for index, layer in enumerate(self._layers):
            x = _norm(h, body, layer.before, torch.float32)
            y = _with(delta, index, "qkv", x, layer.qkv.many(x))
            q = self._store(index, y, turns, slot, start)
            keys, values = self._kv[index][:, slot, :, : start + count]
            mixed = scaled_dot_product_attention(
                q.transpose(0, 1)[None], keys[None], values[None], attn_mask=seen, enable_gqa=True
            )
            x = mixed[0].transpose(0, 1).reshape(count, shape.heads * shape.head)
            body += _with(delta, index, "out", x, layer.out.many(x))
            x = _norm(h, body, layer.after, torch.float32)
            gate, up = _with(delta, index, "gate_up", x, layer.gate_up.many(x)).chunk(2, dim=1)
            x = silu(gate).mul_(up)
            body += _with(delta, index, "down", x, layer.down.many(x))
        if not last:
            return None
        return self._head.few(_norm(h[-1:], body[-1:], self._last, self._head.dtype))

    def _begin(self, tokens: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The residual with its constant column, and without."""
        h = torch.full((len(tokens), self.shape.hidden + 1), self._constant)
        body = h[:, :-1]
        body.copy_(self._embedding[torch.tensor(tokens)])
        return h, body

    def _attend(
        self,
        index: int,
        y: torch.Tensor,
        turns: torch.Tensor,
        where: list[tuple[int, int]],
        mixed: torch.Tensor,
    ) -> None:
        """Rotate, write each row's key and value, and mix what its slot holds."""
        shape, kv = self.shape, self._kv[index]
        turned, v = self._turned(y, turns)
        q = turned[:, : shape.heads].reshape(
            -1, shape.groups, shape.heads // shape.groups, shape.head
        )
        k = turned[:, shape.heads :]
        for row, (slot, place) in enumerate(where):
            kv[0, slot, :, place] = k[row]
            kv[1, slot, :, place] = v[row]
            held = kv[:, slot, :, : place + 1]
            # The heads of a group are queries side by side: all see the whole slot.
            found = scaled_dot_product_attention(q[row : row + 1], held[:1], held[1:])
            mixed[row] = found.reshape(-1)

    def _store(
        self, index: int, y: torch.Tensor, turns: torch.Tensor, slot: int, start: int
    ) -> torch.Tensor:
        """Rotate and write a chunk's keys and values; returns the queries [tokens, heads, head]."""
        kv, heads = self._kv[index], self.shape.heads
        turned, v = self._turned(y, turns)
        kv[0, slot, :, start : start + len(y)] = turned[:, heads:].transpose(0, 1)
        kv[1, slot, :, start : start + len(y)] = v.transpose(0, 1)
        return turned[:, :heads]

    def _turned(self, y: torch.Tensor, turns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys, rotated, [rows, heads + groups, head]; values [rows, groups, head]."""
        shape = self.shape
        split = (shape.heads + shape.groups) * shape.head
        pairs = y[:, :split].float().view(len(y), -1, shape.head // 2, 2)
        turned = torch.view_as_real(torch.view_as_complex(pairs) * turns)
        return turned.view(len(y), -1, shape.head), y[:, split:].view(len(y), -1, shape.head)

    def _matrices(self) -> list[Matrix]:
        found = [
            m for layer in self._layers for m in (layer.qkv, layer.out, layer.gate_up, layer.down)
        ]
        return [*found, self._head]


def _norm(
    h: torch.Tensor, body: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """RMSNorm; `weight` holds the √hidden that the vector norm lacks."""
    x = body / torch.linalg.vector_norm(h, dim=1, keepdim=True)
    return torch.mul(x, weight, out=torch.empty(x.shape, dtype=dtype))


def _with(
    delta: Delta | None, layer: int, matrix: str, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    return y if delta is None else delta.add(layer, matrix, x, y)


def _layers(layers: Any, shape: Shape, kind: Asked, root: float) -> list[Layer]:
    """All layers, packed a few at a time, each on one core."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(lambda layer: _layer(layer, shape, kind, root), layers))


def _layer(layer: Any, shape: Shape, kind: Asked, root: float) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    q, k = (paired(m.weight.detach(), shape.head) for m in (attention.q_proj, attention.k_proj))
    gate, up = mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()
    return Layer(
        qkv=Matrix(torch.cat([q, k, attention.v_proj.weight.detach()]), kind),
        out=Matrix(attention.o_proj.weight.detach(), kind),
        gate_up=Matrix(torch.cat([gate, up]), kind),
        down=Matrix(mlp.down_proj.weight.detach(), kind),
        before=layer.input_layernorm.weight.detach().float() * root,
        after=layer.post_attention_layernorm.weight.detach().float() * root,
    )


def _rotations(rotary: Any, context: int) -> torch.Tensor:
    """e^(i·angle) for each place and pair, [context, head / 2], as transformers scales it."""
    angles = torch.outer(torch.arange(context).float(), rotary.inv_freq.float())
    return torch.polar(torch.full_like(angles, float(rotary.attention_scaling)), angles)
