"""The traps of training Falcon, each on a tiny one: what must hold, and what must be refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import FalconForCausalLM

from model.adapters import named
from model.decoders.reference import ReferenceDecoder
from model.loading import check_quantised, repair_falcon
from tests.model import tiny
from tests.training import small
from training import base as bases
from training.batches import IGNORED, micro_batches, packed, padded
from training.checkpoint import Checkpoints, replace_folder
from training.errors import OutOfMemory, RecipeError, TrainingError
from training.examples import Example
from training.lora import parameters, set_active, wrap
from training.merge import add, refuse_quantised
from training.optimise import load_state, state_tensors
from training.ranks import Ranks
from training.recipe import LoraPart, ModelPart
from training.run import Places, fit


def silent(_text: str) -> None:
    """Nobody listens."""


def test_loss_and_gradients_are_those_of_peft() -> None:
    _, mine, gradients = small.taught_falcon()
    found = small.examples(5)
    loss = gradients.step(found, range(5), 1.0)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=tiny.TARGETS)
    theirs = get_peft_model(tiny.falcon(), config)
    named_theirs = dict(theirs.named_parameters())
    for name, parameter in mine.items():
        named_theirs[name.replace(".weight", ".default.weight")].data.copy_(parameter.data)
    taught = sum(one.taught for one in found)
    total = torch.zeros(())
    for one in found:
        ids = torch.tensor([one.ids])
        labels = ids.clone()
        labels[:, : one.start] = IGNORED
        total = total + theirs(input_ids=ids, labels=labels).loss * one.taught / taught
    torch.autograd.backward(total)
    assert loss == pytest.approx(float(total.detach()), rel=1e-5)
    for name, parameter in mine.items():
        wanted = named_theirs[name.replace(".weight", ".default.weight")].grad
        assert torch.allclose(parameter.grad, wanted, rtol=1e-3, atol=1e-5), name  # type: ignore[arg-type]


def test_a_packed_row_has_the_losses_of_its_samples_alone() -> None:
    _, _, gradients = small.taught_falcon()
    found = small.examples(3)
    with torch.no_grad():
        alone = torch.cat([gradients.losses(padded(found, [n])) for n in range(3)])
        together = gradients.losses(packed(found, [[0, 1, 2]]))
    assert torch.allclose(alone, together, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputing_layers_changes_no_gradient(dropout: float) -> None:
    results = []
    for recompute in (False, True):
        _, mine, gradients = small.taught_falcon(dropout, recompute=recompute)
        torch.manual_seed(5)
        gradients.step(small.examples(4), range(4), 1.0)
        results.append(small.copies(mine))
    assert all(torch.allclose(results[0][n], results[1][n], atol=1e-6) for n in results[0])


def test_adapters_stay_fp32_whatever_the_base_computes_in() -> None:
    model = tiny.falcon().to(torch.bfloat16)
    assert {p.dtype for _, p in parameters(wrap(model, LoraPart(4, 8, 0.0)))} == {torch.float32}


def test_a_switched_off_adapter_leaves_the_base_alone() -> None:
    model, base = tiny.falcon(), tiny.falcon()
    layers = wrap(model, LoraPart(4, 8, 0.0))
    for layer in layers.values():
        torch.nn.init.normal_(layer.b)
    ids = torch.tensor([[5, 6, 7]])
    assert not torch.allclose(model(ids).logits, base(ids).logits, atol=1e-2)
    set_active(layers, False)
    assert torch.allclose(model(ids).logits, base(ids).logits, atol=1e-5)


class Small:
    """A memory that holds so many tokens."""

    def __init__(self, gradients: Any, most: int) -> None:
        self.whole, self.most, self.recompute = gradients.backbone, most, False

    @property
    def head(self) -> Any:
        return self.whole.head

    def hidden(self, batch: Any) -> Any:
        if batch.tokens > self.most:
            raise torch.OutOfMemoryError("no")
        return self.whole.hidden(batch)


def test_running_out_of_memory_lowers_the_micro_batch_and_not_the_step() -> None:
    found = small.examples(8)
    _, wanted, enough = small.taught_falcon()
    loss = enough.step(found, range(8), 1.0)
    _, mine, gradients = small.taught_falcon()
    gradients.backbone = Small(gradients, 130)  # type: ignore[assignment]
    assert gradients.step(found, range(8), 1.0) == pytest.approx(loss, rel=1e-5)
    assert gradients.tokens < 10_000
    for name, parameter in wanted.items():
        assert torch.allclose(mine[name].grad, parameter.grad, rtol=1e-3, atol=1e-5)  # type: ignore[arg-type]


def test_a_sequence_that_never_fits_is_one_sentence() -> None:
    _, _, gradients = small.taught_falcon()
    gradients.backbone = Small(gradients, 3)  # type: ignore[assignment]
    with pytest.raises(OutOfMemory, match=r"lower data\.max_length"):
        gradients.step(small.examples(2), range(2), 1.0)


def test_nf4_layers_train_as_their_dequantised_weights_do_and_refuse_a_merge() -> None:
    bnb = pytest.importorskip("bitsandbytes")
    model, plain_model = tiny.falcon(), tiny.falcon()
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            new = bnb.nn.Linear4bit(
                module.in_features, module.out_features, bias=False,
                compute_dtype=torch.float32, quant_type="nf4",
            )  # fmt: skip
            new.weight = bnb.nn.Params4bit(
                module.weight.data, requires_grad=False, quant_type="nf4"
            ).to("cpu")
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, new)
            whole = bnb.functional.dequantize_4bit(new.weight.data, new.weight.quant_state)
            plain_model.get_submodule(name).weight.data.copy_(whole)
    with pytest.raises(TrainingError, match="cannot be merged into 4-bit weights"):
        refuse_quantised(model)
    refuse_quantised(plain_model)
    ids, part = torch.tensor([[5, 6, 7, 8]]), LoraPart(4, 8, 0.0)
    assert len(wrap(model, part)) == 8
    assert torch.allclose(model(ids).logits, plain_model(ids).logits, atol=1e-3)


def test_merged_weights_write_what_base_and_adapter_write(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "a", seed=3)
    config = json.loads((folder / "adapter_config.json").read_text())
    merged = tiny.falcon()
    assert add(merged, folder / "adapter_model.safetensors", config) == 8
    from peft import PeftModel

    wrapped = PeftModel.from_pretrained(tiny.falcon(), str(folder))
    ids = torch.tensor([[9, 8, 7, 6]])
    assert torch.allclose(merged(ids).logits, wrapped(ids).logits, atol=1e-3)


def test_nf4_without_a_gpu_says_what_to_do() -> None:
    with pytest.raises(RecipeError, match="--preset demo"):
        bases.quantises(ModelPart(quantise="nf4"), torch.device("cpu"))


def test_several_gpus_without_a_launcher_are_an_error() -> None:
    with pytest.raises(RecipeError, match="accelerate launch --num_processes 2"):
        bases.choose_device(ModelPart(), Ranks(), gpus=2)
    assert bases.choose_device(ModelPart(device="cuda:1"), Ranks(), gpus=2).index == 1


def test_a_gpu_without_bf16_computes_in_fp16() -> None:
    cuda = torch.device("cuda")
    assert bases.choose_compute(ModelPart(), cuda, has_bf16=False) == torch.float16
    with pytest.raises(RecipeError, match="fp16"):
        bases.choose_compute(ModelPart(compute="bf16"), cuda, has_bf16=False)


@pytest.fixture(scope="module")
def falcon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.save_base(tmp_path_factory.mktemp("base"))


def losses(places: Places) -> list[float]:
    history = json.loads((places.run / "history.json").read_text())
    return [one["loss"] for one in history["steps"]]


def test_a_resumed_run_has_the_losses_of_one_that_was_never_cut(
    falcon: Path, tmp_path: Path
) -> None:
    recipe = small.recipe(falcon)
    whole, cut = Places(tmp_path / "whole", "small"), Places(tmp_path / "cut", "small")
    fit(recipe, whole, silent)
    fit(recipe, cut, silent)
    # As if killed after step 4: the newest checkpoint and all that followed are gone.
    shutil.rmtree(cut.run / "checkpoints" / "step-000006")
    shutil.rmtree(cut.adapter)
    fit(recipe, cut, silent, resume=True)
    assert losses(cut) == losses(whole)
    assert named(cut.adapter.parent, "small").sha256 == named(whole.adapter.parent, "small").sha256


def test_a_checkpoint_of_another_recipe_is_not_resumed(falcon: Path, tmp_path: Path) -> None:
    places = Places(tmp_path, "small")
    fit(small.recipe(falcon, "fit.steps=2"), places, silent)
    with pytest.raises(TrainingError, match="another recipe"):
        fit(small.recipe(falcon, "fit.steps=2", "fit.rate=0.5"), places, silent, resume=True)


def test_the_adapter_is_served_and_names_its_base(falcon: Path, tmp_path: Path) -> None:
    places = Places(tmp_path, "small")
    fit(small.recipe(falcon), places, silent)
    config = json.loads((places.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == falcon.name
    decoder = ReferenceDecoder(tiny.falcon(), tiny.tokenizer(), "tiny", base=None)
    info = named(places.adapter.parent, "small")
    decoder.switch(decoder.stage(info))
    manifest = json.loads((places.adapter / "manifest.json").read_text())
    assert manifest["adapter_sha256"] == info.sha256
    assert manifest["run"]["steps"] == 6


def test_a_run_stops_when_held_out_loss_no_longer_falls(falcon: Path, tmp_path: Path) -> None:
    places = Places(tmp_path, "small")
    fit(small.recipe(falcon, "fit.steps=40", "fit.rate=5.0", "fit.patience=2"), places, silent)
    run = json.loads((places.adapter / "manifest.json").read_text())["run"]
    evaluations = run["history"]["evaluations"]
    assert run["stopped_early"]
    assert run["steps"] < 40
    assert run["best_step"] == min(evaluations, key=lambda one: one["loss"])["step"]


def test_a_save_that_fails_keeps_the_one_before(tmp_path: Path) -> None:
    def good(folder: Path) -> None:
        (folder / "a").write_text("old")

    def full(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise OSError(28, "No space left on device")

    replace_folder(tmp_path / "x", good)
    with pytest.raises(TrainingError, match="No space left"):
        replace_folder(tmp_path / "x", full)
    assert (tmp_path / "x" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


SAVER = """
import sys, torch
from pathlib import Path
from training.checkpoint import Checkpoints
kept, step = Checkpoints(Path(sys.argv[1])), 0
while True:
    step += 1
    kept.save(step, {"adapter": {"w": torch.full((100_000,), float(step))}}, {"step": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize("after", [1, 3, 6])
def test_kill_9_while_saving_leaves_a_whole_checkpoint(tmp_path: Path, after: int) -> None:
    words = [sys.executable, "-c", SAVER, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as saver:
        assert saver.stdout is not None
        for _ in range(after):
            saver.stdout.readline()
        os.kill(saver.pid, signal.SIGKILL)
    state, tensors = Checkpoints(tmp_path).load(("adapter",))
    assert state["step"] >= after
    assert set(tensors["adapter"]["w"].tolist()) == {float(state["step"])}


def test_a_truncated_reply_would_not_end_so_eos_is_never_cut() -> None:
    found = [*small.examples(1), Example((5, 6, 7, 0), 2, "g", (), "")]
    (batch,) = micro_batches(found, [1], 100, "length")
    assert batch.labels[batch.labels != IGNORED].tolist() == [7, 0]


def test_the_paged_optimiser_goes_on_from_its_saved_state_as_if_never_cut() -> None:
    paged = pytest.importorskip("bitsandbytes.optim").PagedAdamW32bit

    def run(steps: range, state: dict[str, torch.Tensor] | None) -> tuple[torch.Tensor, Any]:
        optimiser = paged([parameter], lr=0.1)
        if state is not None:
            load_state(optimiser, state)
        for step in steps:
            parameter.grad = torch.full_like(parameter, 1.0 + step)
            optimiser.step()
        return parameter.detach().clone(), optimiser

    with warnings.catch_warnings():  # on a CPU it says that it does not page
        warnings.simplefilter("ignore", UserWarning)
        parameter = torch.nn.Parameter(torch.ones(64, 80))
        whole, _ = run(range(4), None)
        parameter = torch.nn.Parameter(torch.ones(64, 80))
        saved = state_tensors(run(range(2), None)[1])
        resumed, _ = run(range(2, 4), saved)
    assert set(saved) == {"0.step", "0.state1", "0.state2"}
    assert torch.equal(resumed, whole)


def test_all_128_linear_layers_of_a_32_layer_falcon_are_in_4_bits(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    config = tiny.falcon().config
    config.num_hidden_layers = 32
    FalconForCausalLM(config).save_pretrained(tmp_path)
    repair_falcon()
    cpu = torch.device("cpu")
    options = bases.nf4_options(cpu, torch.float32)
    model = FalconForCausalLM.from_pretrained(tmp_path, **options)
    assert check_quantised(model) == 128
    assert type(model.lm_head) is torch.nn.Linear
