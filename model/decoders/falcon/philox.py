"""Random numbers that a seed and a place decide: Philox4x32-10 (Salmon et al., 2011).

The kernels draw with the same numbers (kernels/sampling.cu). Knows nothing of
tokens' meaning.
"""

from __future__ import annotations

import torch

MASK = 0xFFFFFFFF


def words(seed: int, pos: int, tokens: torch.Tensor) -> torch.Tensor:
    """The first of Philox's four words for counters (token, pos, 0, 0): int64 [tokens]."""
    c0 = tokens.long()
    c1, c2, c3 = (torch.full_like(c0, value) for value in (pos & MASK, 0, 0))
    k0, k1 = seed & MASK, (seed >> 32) & MASK
    for _ in range(10):
        h0, l0 = _multiply(c0, 0xD2511F53)
        h1, l1 = _multiply(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0


def gumbel(seed: int, pos: int, tokens: torch.Tensor) -> torch.Tensor:
    """Gumbel noise for each token id, fp32: the largest score with it is a draw by softmax."""
    uniform = ((words(seed, pos, tokens) >> 8).float() + 0.5) * 2.0**-24
    return -(-uniform.log()).log()


def _multiply(a: torch.Tensor, b: int) -> tuple[torch.Tensor, torch.Tensor]:
    """High and low words of a 32-bit product, without overflowing int64."""
    low, high = a * (b & 0xFFFF), a * (b >> 16)
    middle = high + (low >> 16)
    return (middle >> 16) & MASK, ((middle & 0xFFFF) << 16 | (low & 0xFFFF)) & MASK
