"""The CPU decoder against transformers on a tiny Llama: the same tokens, adapters and all."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from model import adapters
from model.decoders.cpu.decoder import CpuDecoder
from model.decoders.cpu.matrix import Asked, Matrix
from model.decoders.cpu.shape import shape_of
from model.decoders.protocol import Draw
from model.engine import Engine, Running
from model.types import AdapterRefused, Request, Sampling, Turn
from tests.model import tiny

GREEDY = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=12)
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def llama() -> Any:
    """Three layers, grouped heads, and llama-3's scaled rotation."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=0,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        parameter.data.mul_(5.0 if parameter.dim() > 1 else 1.3)
    return model


def save(folder: Path, seed: int, targets: list[str], **changes: Any) -> Path:
    options: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": targets, **changes}
    wrapped = get_peft_model(llama(), LoraConfig(task_type="CAUSAL_LM", bias="none", **options))
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text()) | {"base_model_name_or_path": "tiny/llama"}
    path.write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    save(folder / "all", 1, ALL)
    save(folder / "some", 2, ["q_proj", "down_proj"], use_rslora=True)
    return folder


def decoder(kind: Asked = "fp32", width: int = 3) -> CpuDecoder:
    return CpuDecoder(
        llama(), tiny.tokenizer(), "llama", base="tiny/llama", slots=4, width=width, kind=kind
    )


def join(engine: Engine, name: str, text: str, sampling: Sampling = GREEDY) -> Running:
    return engine.join(Request(name, name, name, (Turn("user", text),), sampling), 0)


def finish(engine: Engine, *replies: Running) -> list[list[int]]:
    while any(not reply.ended for reply in replies):
        engine.advance()
    for reply in replies:
        engine.leave(reply)
    return [reply.tokens for reply in replies]


def generated(folder: Path, adapter: str | None, prompt: list[int]) -> list[int]:
    model = llama()
    if adapter:
        model = PeftModel.from_pretrained(model, str(folder / adapter)).eval()
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=GREEDY.max_new_tokens,
        do_sample=False,
        pad_token_id=0,
    )
    found: list[int] = out[0, len(prompt) :].tolist()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_greedy_tokens_in_fp32_are_those_of_generate(folder: Path, seed: int) -> None:
    """Joins, leaves, parked and continued talks and adapter switches in random order."""
    rng = random.Random(seed)
    cpu = decoder()
    cpu.prefill_tokens = 16
    engine = Engine(cpu)
    talks: list[Running] = []
    ended: list[Running] = []
    for number in range(150):
        act = rng.random()
        busy = {talk.request.conversation for talk in talks}
        who = rng.choice("abcde")
        if act < 0.35 and engine.room and who not in busy:
            text = rng.choice(("hi", "a longer question than one chunk", "déjà vu"))
            turns = (Turn("user", text),)
            talks.append(engine.join(Request(str(number), who, who, turns, GREEDY), 0))
        elif act < 0.4 and talks:
            engine.leave(talks.pop())
        elif act < 0.5 and engine.one_version:
            name = rng.choice(("all", "some", None))
            cpu.switch(cpu.stage(adapters.named(folder, name) if name else None))
        else:
            engine.advance()
        for talk in [talk for talk in talks if talk.ended]:
            engine.leave(talk)
            talks.remove(talk)
            ended.append(talk)
    finish(engine, *talks)
    for talk in [*ended, *talks]:
        assert talk.tokens == generated(folder, talk.adapter, talk.prompt)
    assert len(ended) + len(talks) > 3


def test_company_changes_no_bit_of_a_rows_logits() -> None:
    found = decoder("fp16", width=4)
    llama_ = found._llama
    for slot, length in enumerate((5, 40, 17)):
        llama_.chunk(list(range(1, length + 1)), slot, 0, None, last=False)
    alone = llama_.step([7], [1], [40], None)
    together = llama_.step([3, 7, 9], [0, 1, 2], [5, 40, 17], None)
    assert torch.equal(alone[0], together[1])


def test_packed_weights_stay_within_a_stated_distance() -> None:
    """KL below 0.001 in fp16, on a model whose distributions are far from flat."""
    ids = [5, 9, 40, 41, 42, 7]
    exact, packed = (
        decoder(kind)._llama.chunk(ids, 0, 0, None, last=True) for kind in ("fp32", "auto")
    )
    assert exact is not None
    assert packed is not None
    p, q = exact.log_softmax(-1), packed.float().log_softmax(-1)
    assert float((p.exp() * (p - q)).sum()) < 1e-3
    assert int(p.argmax()) == int(q.argmax())


def test_weights_that_stand_on_sixteen_levels_are_kept_in_four_bits_and_no_others() -> None:
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 16, (64, 64), generator=generator)
    codes[:, ::32], codes[:, 1::32] = 0, 15
    step = torch.rand(64, 1, generator=generator) + 0.1
    level = (codes * step - 3 * step).bfloat16()
    free = torch.randn(64, 64, generator=generator).bfloat16()
    matrix = Matrix(level)
    assert (matrix.kind, Matrix(free).kind) == ("int4", "fp16")
    x = torch.randn(3, 64, generator=generator)
    few, many = matrix.few(x.bfloat16()).float(), matrix.many(x)
    wanted = x @ level.float().t()
    assert float((few - wanted).abs().max()) < 0.02 * float(wanted.abs().max())
    assert float((many - wanted).abs().max()) < 0.01 * float(wanted.abs().max())
    assert torch.equal(matrix.few(x.bfloat16())[1:2], matrix.few(x[1:2].bfloat16()))


def foreign(path: Path) -> None:
    tiny.save_adapter(path, seed=1, base="tiny/llama")


def dora(path: Path) -> None:
    save(path, 1, ["q_proj"], use_dora=True)


def narrow(path: Path) -> None:
    save(path, 1, ["q_proj"])
    from safetensors.torch import load_file, save_file

    file = path / adapters.WEIGHTS
    tensors = {name: tensor[:, :-1].contiguous() for name, tensor in load_file(file).items()}
    save_file(tensors, file)


@pytest.mark.parametrize("make", [foreign, dora, narrow])
def test_an_adapter_that_does_not_fit_is_refused(folder: Path, tmp_path: Path, make: Any) -> None:
    cpu = decoder()
    cpu.switch(cpu.stage(adapters.named(folder, "all")))
    make(tmp_path / "bad")
    with pytest.raises(AdapterRefused, match="does not fit"):
        cpu.switch(cpu.stage(adapters.named(tmp_path, "bad")))
    assert cpu.adapter is not None
    assert cpu.adapter.name == "all"


def test_an_adapter_that_writes_noise_never_serves(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save(tmp_path / "bad", 1, ALL)
    file = tmp_path / "bad" / adapters.WEIGHTS
    save_file({n: torch.full_like(t, 3e38) for n, t in load_file(file).items()}, file)
    cpu = decoder()
    with pytest.raises(AdapterRefused, match="noise"):
        cpu.switch(cpu.stage(adapters.named(tmp_path, "bad")))
    assert cpu.adapter is None
    cpu.open(0, [5, 6], 0, Draw(0, 1, 0, 1, 0))
    assert cpu.extend({0: [5, 6]}, frozenset({0})).tokens()


def test_models_of_another_kind_are_left_to_the_reference_decoder() -> None:
    assert shape_of(tiny.falcon().config) is None
    biased = llama().config
    biased.attention_bias = True
    assert shape_of(biased) is None
