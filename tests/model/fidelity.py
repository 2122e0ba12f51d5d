"""How far a CPU decoder's next-token distributions are from transformers' in fp32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from model.decoders.cpu.decoder import CpuDecoder


@dataclass(frozen=True, slots=True)
class Distance:
    """Over the tokens of one greedy reply: KL in nats, and how often the best token is the same."""

    mean_kl: float
    largest_kl: float
    same_best: float


def distance(exact: torch.Tensor, found: torch.Tensor) -> Distance:
    """Logits [tokens, vocabulary] of both."""
    p, q = exact.float().log_softmax(-1), found.float().log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    same = (p.argmax(-1) == q.argmax(-1)).float().mean()
    return Distance(float(kl.mean()), float(kl.max()), float(same))


@torch.inference_mode()
def reply(exact: Any, prompt: list[int], tokens: int) -> tuple[list[int], torch.Tensor]:
    """transformers' own greedy reply in fp32, and the logits that it was chosen from."""
    ids = torch.tensor([prompt])
    mask = torch.ones_like(ids)
    out = exact.generate(input_ids=ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False)
    whole: list[int] = out[0].tolist()
    return whole, exact(torch.tensor([whole])).logits[0, len(prompt) - 1 : -1]


def along(decoder: CpuDecoder, whole: list[int], prompt: int) -> torch.Tensor:
    """The decoder's logits on the same way: the prompt as a chunk, the reply step by step."""
    llama = decoder._llama
    first = llama.chunk(whole[:prompt], 0, 0, None, last=True)
    assert first is not None
    rows = [first.float()]
    for place in range(prompt, len(whole) - 1):
        rows.append(llama.step([whole[place]], [0], [place], None).float())
    return torch.cat(rows)
