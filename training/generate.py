"""Greedy replies to many prompts at once, for samples and comparisons.

Greedy, so that base and adapter differ by the adapter alone. Knows a
transformers model and its tokenizer; knows nothing of adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from model.prompt import PromptBuilder
from model.text import TextStream
from model.types import Turn

# The bot's own default: without it small models repeat themselves.
PENALTY = 1.1


@dataclass(frozen=True, slots=True)
class Reply:
    """`ended` is whether it ended by itself, not at the limit."""

    text: str
    tokens: int
    ended: bool


@torch.inference_mode()
def replies(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[Turn]], *, new_tokens: int, width: int
) -> list[Reply]:
    """A reply to each prompt, `width` of them at once, in the prompts' order."""
    model.eval()
    builder = PromptBuilder(tokenizer)
    room = int(getattr(model.config, "max_position_embeddings", 2048)) - new_tokens
    ids = [builder.fit(turns, min(room, 2048)).ids for turns in prompts]
    found: dict[int, Reply] = {}
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    for first in range(0, len(order), width):
        part = order[first : first + width]
        written = _written(model, tokenizer, [ids[at] for at in part], builder, new_tokens)
        found.update(zip(part, written, strict=True))
    return [found[at] for at in range(len(ids))]


def _written(
    model: Any, tokenizer: Any, prompts: list[list[int]], builder: PromptBuilder, new_tokens: int
) -> list[Reply]:
    length = max(len(ids) for ids in prompts)
    ids = torch.zeros(len(prompts), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        # Left of the prompt, so that every row's reply begins at the same place.
        ids[row, length - len(prompt) :] = torch.tensor(prompt)
        mask[row, length - len(prompt) :] = 1
    device = model.get_input_embeddings().weight.device
    out = model.generate(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        max_new_tokens=new_tokens,
        do_sample=False,
        repetition_penalty=PENALTY,
        pad_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        temperature=None,
        top_p=None,
        top_k=None,
    )
    return [_read(row.tolist(), tokenizer, builder.stops) for row in out[:, length:]]


def _read(ids: list[int], tokenizer: Any, stops: tuple[str, ...]) -> Reply:
    """As the bot would: to EOS, or to where the model begins to speak as the person."""
    stream, count = TextStream(tokenizer, stops), 0
    for token in ids:
        if token == tokenizer.eos_token_id:
            stream.finish()
            return Reply(stream.text.strip(), count, True)
        stream.push(token)
        count += 1
        if stream.stopped:
            return Reply(stream.text.strip(), count, True)
    stream.finish()
    return Reply(stream.text.strip(), count, False)
