"""A tiny random fp32 Falcon with its tokenizer and LoRA adapters, made in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import FalconConfig, FalconForCausalLM, PreTrainedTokenizerFast

from model.decoders.reference import ReferenceDecoder

TARGETS = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte level, without merges: every text has tokens, and characters split over them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0, **{c: i + 1 for i, c in enumerate(alphabet)}}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>")


def config(vocabulary: int, hidden: int, heads: int) -> FalconConfig:
    """Two layers with all that makes a Falcon-7B one."""
    return FalconConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=heads,
        multi_query=True,
        parallel_attn=True,
        new_decoder_architecture=False,
        bias=False,
        alibi=False,
        bos_token_id=0,
        eos_token_id=0,
        max_position_embeddings=512,
    )


def falcon(seed: int = 0) -> Any:
    """Two layers in Falcon-7B's architecture: multi-query, parallel, rotary, no bias."""
    torch.manual_seed(seed)
    model = FalconForCausalLM(config(vocabulary=257, hidden=64, heads=4)).eval()
    for parameter in model.parameters():
        # Larger weights than the default make greedy choices clear-cut and varied.
        parameter.data.mul_(6.0 if parameter.dim() > 1 else 1.0)
    return model


def reference(width: int = 3, slots: int = 5, seed: int = 0) -> ReferenceDecoder:
    """The oracle over the tiny Falcon."""
    return ReferenceDecoder(
        falcon(seed), tokenizer(), "tiny", base="tiny/falcon", width=width, slots=slots
    )


def save_adapter(folder: Path, seed: int, base: str = "tiny/falcon", **changes: Any) -> Path:
    """A LoRA adapter with non-zero B, so that it changes what is written."""
    options: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": TARGETS, **changes}
    wrapped = get_peft_model(falcon(), LoraConfig(task_type="CAUSAL_LM", bias="none", **options))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": base}))
    return folder
