"""How much GPU memory a model will take in NF4, before anything is loaded.

Knows a model's shape only; knows nothing of devices or requests.
"""

from __future__ import annotations

from typing import Any

# Measured on bitsandbytes: 4 bits a weight and a double-quantised scale for each 64.
NF4_BYTES = 0.516
HALF_BYTES = 2
# The CUDA context's workspaces, a prefill's attention and the KV of a full house.
WORKING_BYTES = 2_000_000_000
# What a slot holds, prompt and reply together.
CONTEXT_TOKENS = 2048


def nf4_bytes(config: Any) -> int:
    """Bytes of the weights: linear layers in 4 bits, embeddings and the head in 16."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    head = model.get_output_embeddings()
    small = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    everything = sum(parameter.numel() for parameter in model.parameters())
    linear = sum(small.values())
    return int(linear * NF4_BYTES + (everything - linear) * HALF_BYTES)


def kv_bytes(config: Any) -> int:
    """Bytes of one token's keys and values in 16 bits, all layers."""
    heads = int(config.num_attention_heads)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or getattr(config, "num_kv_heads", heads)
    if getattr(config, "multi_query", False) and not config.new_decoder_architecture:
        groups = 1
    return 2 * HALF_BYTES * int(config.num_hidden_layers) * int(groups) * int(size)
