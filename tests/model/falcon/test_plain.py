from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from model import adapters
from model.decoders.falcon.decoder import FalconDecoder
from model.decoders.falcon.plain import PlainBackend
from model.decoders.falcon.weights import Weights
from model.decoders.protocol import Draw
from model.types import AdapterRefused
from tests.model.falcon import small

TARGETS = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
GREEDY = Draw(temperature=0, top_p=1, top_k=0, repetition_penalty=1.0, seed=0)


@pytest.fixture(scope="module")
def both() -> tuple[Weights, Any]:
    return small.pair()


def decoder(weights: Weights, slots: int = 4) -> FalconDecoder:
    backend = PlainBackend(weights, slots=slots, context=128)
    return FalconDecoder(backend, weights, None, "small")


def write(folder: Path, model: Any, seed: int, rank: int = 4) -> Path:
    wrapped = get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=8, target_modules=TARGETS, task_type="CAUSAL_LM")
    )
    torch.manual_seed(seed)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data = (torch.randn(parameter.shape) * 0.2).bfloat16().float()
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "a/b"}))
    return folder


def generate(model: Any, prompt: list[int], new: int) -> list[int]:
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=False,
            pad_token_id=0,
        )
    return [int(i) for i in out[0, len(prompt) :]]


def write_out(
    to: FalconDecoder, slot: int, prompt: list[int], new: int, keep: int = 0
) -> list[int]:
    to.open(slot, prompt, keep, GREEDY)
    out = [to.extend({slot: prompt[keep:]}, frozenset({slot})).tokens()[slot]]
    while len(out) < new:
        out.append(to.step([slot]).tokens()[slot])
    return out


PROMPT = [5, 77, 210, 3, 9, 282, 41]


def test_greedy_tokens_equal_generate(both: tuple[Weights, Any]) -> None:
    weights, model = both
    wanted = generate(model, PROMPT, 24)
    assert len(set(wanted)) > 4
    assert write_out(decoder(weights), 0, PROMPT, 24) == wanted


def test_tokens_do_not_depend_on_chunks_neighbours_or_a_kept_prefix(
    both: tuple[Weights, Any],
) -> None:
    weights, model = both
    wanted = generate(model, PROMPT, 12)
    mine = decoder(weights)
    mine.open(0, PROMPT, 0, GREEDY)
    mine.open(1, [8, 8, 8], 0, GREEDY)
    assert mine.extend({0: PROMPT[:3], 1: [8]}, frozenset()).tokens() == {}
    out = [mine.extend({0: PROMPT[3:]}, frozenset({0})).tokens()[0]]
    mine.extend({1: [8, 8]}, frozenset({1})).tokens()
    while len(out) < 12:
        out.append(mine.step([0, 1]).tokens()[0])
    assert out == wanted
    mine.close(0)
    # The prompt and all drawn tokens but the last, whose KV no step has written yet.
    longer = PROMPT + out
    assert write_out(mine, 0, longer, 8, keep=len(longer) - 1) == generate(model, longer, 8)


def test_an_adapter_writes_what_peft_writes_and_old_replies_end_on_theirs(tmp_path: Path) -> None:
    weights, model = small.pair()
    plain = generate(model, PROMPT, 12)
    info = adapters.read(write(tmp_path / "one", small.falcon(), 1))
    mine = decoder(weights)
    mine.open(0, PROMPT, 0, GREEDY)
    out = [mine.extend({0: PROMPT}, frozenset({0})).tokens()[0]]
    mine.switch(mine.stage(info))
    assert mine.adapter is info
    new = write_out(mine, 1, PROMPT, 12)
    while len(out) < 12:
        out.append(mine.step([0]).tokens()[0])
    assert out == plain
    wanted = generate(PeftModel.from_pretrained(model, str(info.path)), PROMPT, 12)
    assert wanted != plain
    assert new == wanted


def test_a_second_switch_waits_for_the_replies_of_the_version_before(
    both: tuple[Weights, Any],
) -> None:
    mine = decoder(both[0])
    mine.open(0, PROMPT, 0, GREEDY)
    mine.switch(mine.stage(None))
    with pytest.raises(AdapterRefused):
        mine.switch(mine.stage(None))
    mine.close(0)
    mine.switch(mine.stage(None))
    assert mine.current == 2
    assert mine.version(0) == -1


def test_an_adapter_whose_rank_or_shapes_do_not_fit_is_refused(
    both: tuple[Weights, Any], tmp_path: Path
) -> None:
    mine = decoder(both[0])
    wide = adapters.read(write(tmp_path / "wide", small.falcon(), 1, rank=40))
    with pytest.raises(AdapterRefused, match="rank"):
        mine.stage(wide)
    config = tmp_path / "wide" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"r": 8}))
    with pytest.raises(AdapterRefused, match="another model"):
        mine.stage(adapters.read(tmp_path / "wide"))
