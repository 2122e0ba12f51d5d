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
