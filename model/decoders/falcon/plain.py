"""Falcon in plain torch and fp32, over the same slots, units and banks as the kernels.

What every other backend is compared with, and what its own comparison with
transformers vouches for. Nothing here is fast: weights are dequantised on each
use and every row attends for itself. Runs on a CPU or a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as nn

from model.decoders.falcon import banks, layout
from model.decoders.falcon.backend import NEWEST, Known, Rows
from model.decoders.falcon.banks import Bank
from model.decoders.falcon.philox import gumbel
from model.decoders.falcon.shape import HEAD
from model.decoders.falcon.weights import Weights
from model.decoders.protocol import Draw


class PlainBackend:
    """See backend.py."""

    path = "plain torch, fp32"
    ahead = False

    def __init__(self, weights: Weights, *, slots: int, context: int, prefill_rows: int = 512):
        self.weights, self.shape = weights, weights.shape
        self.device = weights.w1.device
        self.slots, self.width, self.context = slots, slots, context
        self.prefill_rows = prefill_rows
        size = (self.shape.layers, slots + 1, context, HEAD)
        self.keys = torch.zeros(size, device=self.device)
        self.values = torch.zeros(size, device=self.device)
        self.banks = [banks.empty(self.shape, self.device) for _ in range(2)]
        self._newest = [0] * (slots + 1)
        self._draws: dict[int, Draw] = {}
        self._seen = torch.zeros(
            slots + 1, self.shape.vocabulary, dtype=torch.bool, device=self.device
        )
        self._rope = rope(self.shape.rope_base, context, self.device)

    def begin(self, slot: int, prompt: Sequence[int], draw: Draw) -> None:
        """See Backend."""
        self._draws[slot] = draw
        self._seen[slot] = False
        self._seen[slot, torch.tensor(list(prompt), device=self.device)] = True

    def use_banks(self, first: int, count: int) -> None:
        """Both banks are always in reach here."""

    def spare_bank(self) -> Bank:
        """See Backend."""
        return banks.empty(self.shape, self.device)

    def load_bank(self, number: int, bank: Bank) -> None:
        """See Backend."""
        self.banks[number].copy_(bank)

    def memory_bytes(self) -> int:
        """See Backend."""
        held = [self.keys, self.values, *(t for bank in self.banks for t in bank.tensors())]
        return self.weights.memory_bytes() + sum(tensor.nbytes for tensor in held)

    def run(self, rows: Rows) -> Known:
        """See Backend."""
        logits = self.logits(rows)
        drawn = []
        for pick, row in zip(rows.picks, logits, strict=True):
            slot = rows.slot[pick]
            draw = self._draws.get(slot, Draw(0, 1, 0, 1, 0))
            token = choose(row, draw, rows.pos[pick], self._seen[slot])
            self._newest[slot] = max(token, 0)
            if token >= 0:
                self._seen[slot, token] = True
            drawn.append(token)
        return Known(drawn)

    def logits(self, rows: Rows) -> torch.Tensor:
        """Scores of the picks' next tokens, [picks, vocabulary]; writes the rows' KV."""
        w, shape = self.weights, self.shape
        tokens = [
            self._newest[s] if t == NEWEST else t
            for s, t in zip(rows.slot, rows.token, strict=True)
        ]
        table = layout.unpack_dense(w.embedding)
        r = table[torch.tensor(tokens, device=self.device)].float()
        for layer in range(shape.layers):
            norm = (w.gamma[layer].float(), w.beta[layer].float())
            x = nn.layer_norm(r, (shape.hidden,), *norm, eps=shape.epsilon)
            y = x @ layout.dequantise(w.w1[layer]).T + self._lora1(x, layer, rows.bank)
            mixed = torch.cat([self._attend(y, layer, rows), nn.gelu(y[:, shape.qkv :])], dim=1)
            r = r + mixed @ layout.dequantise(w.w2[layer]).T + self._lora2(mixed, layer, rows.bank)
        last = (w.last_gamma.float(), w.last_beta.float())
        x = nn.layer_norm(r[rows.picks], (shape.hidden,), *last, eps=shape.epsilon)
        return (x @ layout.unpack_dense(w.head).float().T)[:, : shape.vocabulary]

    def _attend(self, y: torch.Tensor, layer: int, rows: Rows) -> torch.Tensor:
        """Attention of each row over its slot up to its own position: [rows, hidden]."""
        shape = self.shape
        turn = self._rope[torch.tensor(rows.pos, device=self.device)]
        q = y[:, : shape.hidden].reshape(len(rows), shape.heads, HEAD)
        k = y[:, shape.hidden : shape.hidden + HEAD]
        v = y[:, shape.hidden + HEAD : shape.qkv]
        q, k = rotate(q, turn[:, None]), rotate(k, turn)
        for row, (slot, pos) in enumerate(zip(rows.slot, rows.pos, strict=True)):
            self.keys[layer, slot, pos], self.values[layer, slot, pos] = k[row], v[row]
        out = torch.empty_like(q)
        for row, (slot, pos) in enumerate(zip(rows.slot, rows.pos, strict=True)):
            scores = q[row] @ self.keys[layer, slot, : pos + 1].T * HEAD**-0.5
            out[row] = scores.softmax(dim=-1) @ self.values[layer, slot, : pos + 1]
        return out.flatten(1)

    def _lora1(self, x: torch.Tensor, layer: int, bank: list[int]) -> torch.Tensor:
        """What LoRA adds to W1·x; A·x comes from the folded A, undone here."""
        out = x.new_zeros(len(bank), self.shape.rows1)
        gamma = self.weights.gamma[layer].float()
        for number in set(bank):
            mine = torch.tensor([b == number for b in bank], device=x.device)
            held = self.banks[number]
            u = x[mine] @ (held.ga[layer].float() / gamma).T
            b = layout.unpack_lora(held.b1[layer, :, :, : layout.LORA_UNIT]).float()
            split = self.shape.qkv
            part = torch.cat([u[:, :32] @ b[:split].T, u[:, 32:] @ b[split:].T], dim=1)
            out[mine] = part
        return out

    def _lora2(self, x: torch.Tensor, layer: int, bank: list[int]) -> torch.Tensor:
        """What LoRA adds to W2·x."""
        out = x.new_zeros(len(bank), self.shape.hidden)
        for number in set(bank):
            mine = torch.tensor([b == number for b in bank], device=x.device)
            held, hidden = self.banks[number], self.shape.hidden
            b = held.b2[layer].float().transpose(0, 1).flatten(1)
            out[mine] = x[mine, :hidden] @ held.ad[layer].float().T @ b[:, :32].T
            out[mine] += x[mine, hidden:] @ held.ah[layer].float().T @ b[:, 32:].T
        return out


def rope(base: float, context: int, device: torch.device) -> torch.Tensor:
    """Cosine and sine of every position: fp32 [context, 32, 2]."""
    steps = torch.arange(HEAD // 2, device=device, dtype=torch.float64) / (HEAD // 2)
    angle = torch.arange(context, device=device, dtype=torch.float64)[:, None] * base**-steps
    return torch.stack([angle.cos(), angle.sin()], dim=-1).float()


def rotate(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Element d of a head and d + 32, turned: x [..., 64], turn [..., 32, 2]."""
    lo, hi = x[..., :32], x[..., 32:]
    cos, sin = turn[..., 0], turn[..., 1]
    return torch.cat([lo * cos - hi * sin, hi * cos + lo * sin], dim=-1)


def choose(logits: torch.Tensor, draw: Draw, pos: int, seen: torch.Tensor) -> int:
    """Penalty, temperature, top-k, top-p and a draw; -1 when a logit is not finite."""
    if not bool(logits.isfinite().all()):
        return -1
    p = draw.repetition_penalty
    z = torch.where(seen, torch.where(logits > 0, logits / p, logits * p), logits)
    if draw.temperature <= 0 or draw.top_k == 1:
        return int(z.argmax())
    # Best first, and the smaller token in a tie.
    z, ids = (z / draw.temperature).sort(descending=True, stable=True)
    if draw.top_k > 0:
        z, ids = z[: draw.top_k], ids[: draw.top_k]
    chances = z.double().softmax(dim=0)
    kept = chances.cumsum(dim=0) - chances < draw.top_p
    kept[0] = True
    z, ids = z[kept], ids[kept]
    return int(ids[(z + gumbel(draw.seed, pos, ids)).argmax()])
