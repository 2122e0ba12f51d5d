"""The demo model's own weights on the CPU decoder: within the stated distance of fp32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.decoders.cpu.decoder import CpuDecoder
from model.demo import demo_folder, installed
from model.prompt import PromptBuilder
from model.types import Turn
from tests.model.fidelity import along, distance, reply


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(installed() is None, reason="the demo model's package is not installed")
def test_the_demo_models_packed_weights_stay_close_to_fp32(tmp_path: Path) -> None:
    """docs/performance.md states the same bounds: mean KL 0.005, best token the same 95 in 100."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = demo_folder(tmp_path, lambda _: None)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    exact = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    decoder = CpuDecoder(exact, tokenizer, "demo", slots=1, width=1)
    assert decoder.path == "CPU, static slots, fp16 and int4"
    prompt = PromptBuilder(tokenizer).ids([Turn("user", "I could not sleep again. What helps?")])
    whole, wanted = reply(exact, prompt, 16)
    found = distance(wanted, along(decoder, whole, len(prompt)))
    assert found.mean_kl < 0.005
    assert found.same_best >= 0.95
