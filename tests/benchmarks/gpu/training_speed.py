"""Training Falcon-7B's shape: plain PEFT + bitsandbytes beside Lanner's loop, in one run.

    python tests/benchmarks/gpu/training_speed.py

The weights are random, so losses mean nothing and only times and memory do; no
download is needed. It needs a CUDA GPU with 40 GB. Both sides train the same
NF4 model with LoRA r 32, dropout 0.05, on all four linear layers, 64 sequences
a step. `--check` runs the script itself on a tiny model, without a GPU.
"""

# ruff: noqa: E501 - it is a command that prints tables

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import FalconConfig, FalconForCausalLM

from model.loading import check_quantised, repair_falcon
from training import memory
from training import recipe as recipes
from training.backbone import Backbone
from training.data.prepare import prepare
from training.examples import Example
from training.gradients import Gradients
from training.lora import parameters, set_active, wrap
from training.machine import Energy, speed
from training.optimise import optimiser
from training.ranks import Ranks
from training.recipe import LoraPart, Recipe

EOS, BATCH, LENGTH = 11, 64, 256
# Falcon's own tokenizer would have to be fetched; English takes about this many tokens a word.
TOKENS_A_WORD = 1.33
LORA = LoraPart(rank=32, alpha=32, dropout=0.05)


@dataclass(frozen=True)
class Shape:
    vocabulary: int = 65024
    hidden: int = 4544
    layers: int = 32
    heads: int = 71

    def config(self) -> FalconConfig:
        return FalconConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            multi_query=True,
            parallel_attn=True,
            new_decoder_architecture=False,
            bias=False,
            alibi=False,
            bos_token_id=EOS,
            eos_token_id=EOS,
        )


FALCON, TINY = Shape(), Shape(vocabulary=300, hidden=64, layers=2, heads=4)
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")


def build(shape: Shape) -> Any:
    """Random bf16 weights, every layer's linear maps in NF4 on a GPU."""
    torch.manual_seed(0)
    repair_falcon()
    with torch.device("meta"):
        model = FalconForCausalLM(shape.config()).to(torch.bfloat16)
    if CUDA:
        _quantise(model)
    dtype = torch.bfloat16 if CUDA else torch.float32
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and parameter.is_meta:
                new = torch.empty(parameter.shape, dtype=dtype, device=DEVICE)
                new = new.normal_(0, 0.02) if parameter.dim() > 1 else new.fill_(name == "weight")
                module._parameters[name] = torch.nn.Parameter(new, requires_grad=False)
    model.transformer.rotary_emb = type(model.transformer.rotary_emb)(config=model.config).to(
        DEVICE
    )
    model.tie_weights()
    model.config.use_cache = False
    if CUDA:
        model.is_loaded_in_4bit = True
        check_quantised(model)
    return model


def _quantise(model: Any) -> None:
    import bitsandbytes as bnb

    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and module is not head:
            shape = module.weight.shape
            new = bnb.nn.Linear4bit(
                shape[1], shape[0], bias=False, compute_dtype=torch.bfloat16, quant_type="nf4"
            )
            drawn = torch.empty(shape, dtype=torch.bfloat16, device=DEVICE).normal_(0, 0.02)
            new.weight = bnb.nn.Params4bit(
                drawn, requires_grad=False, quant_type="nf4", compress_statistics=True, module=new
            )._quantize(DEVICE)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, new)


def full_length(count: int, vocabulary: int) -> list[Example]:
    rng = random.Random(0)
    return [
        Example(tuple(rng.choices(range(12, vocabulary), k=LENGTH)), 1, "g", (), "")
        for _ in range(count)
    ]


def real_lengths(vocabulary: int) -> list[Example]:
    """helios172's lengths, with random tokens; prompts are not taught."""
    rng, found = random.Random(0), []
    for dialogue in prepare(recipes.build(recipes.preset("original")).data, 0).taught:
        ask, answer = (int(len(turn.text.split()) * TOKENS_A_WORD) for turn in dialogue.turns)
        start = ask + 8
        length = min(start + answer + 1, LENGTH)
        ids = tuple(rng.choices(range(12, vocabulary), k=length))
        found.append(Example(ids, min(start, length - 8), "g", (), ""))
    return found


def wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def timed(step: Callable[[], object], count: int) -> tuple[float, float]:
    """(seconds a step, peak GB), after one step to warm up."""
    step()
    wait()
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    for _ in range(count):
        step()
    wait()
    peak = torch.cuda.max_memory_allocated() / 1e9 if CUDA else 0.0
    return (time.perf_counter() - began) / count, peak


def plain(model: Any, *, checkpointing: bool) -> Any:
    """PEFT on the same model, as its documentation says, in bf16."""
    config = LoraConfig(
        task_type="CAUSAL_LM", r=LORA.rank, lora_alpha=LORA.alpha, lora_dropout=LORA.dropout,
        target_modules=["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    )  # fmt: skip
    wrapped = get_peft_model(model, config)
    if checkpointing:
        wrapped.enable_input_require_grads()
        wrapped.gradient_checkpointing_enable({"use_reentrant": False})
    return wrapped.train()


def plain_step(
    wrapped: Any, optim: Any, examples: Sequence[Example], chosen: Sequence[int], micro: int
) -> Callable[[], None]:
    """Micro-batches in the order drawn, padded to their longest, masked."""
    trained = [p for p in wrapped.parameters() if p.requires_grad]

    def step() -> None:
        for first in range(0, len(chosen), micro):
            rows = [examples[i] for i in chosen[first : first + micro]]
            longest = max(len(row) for row in rows)
            ids = torch.full((len(rows), longest), EOS)
            labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
            for at, row in enumerate(rows):
                one = torch.tensor(row.ids)
                ids[at, : len(one)], mask[at, : len(one)] = one, 1
                labels[at, row.start : len(one)] = one[row.start :]
            out = wrapped(
                input_ids=ids.to(DEVICE), attention_mask=mask.to(DEVICE), labels=labels.to(DEVICE)
            )
            (out.loss / (len(chosen) / len(rows))).backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.3)
        optim.step()
        optim.zero_grad()

    return step


class Ours:
    """Lanner's gradients, all settings on the same model."""

    def __init__(self, model: Any, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.trained = [p for _, p in parameters(wrap(model, recipe.lora))]
        model.train()
        self.optim = optimiser(self.trained, recipe.fit, DEVICE)

    def use(self, *, tokens: int, full: bool) -> None:
        """The setting of the next steps."""
        self.gradients = Gradients(
            Backbone(self.model, recompute=full), DEVICE, self.trained, tokens=tokens,
            batching="length", ranks=Ranks(), say=print,
        )  # fmt: skip

    def step(self, examples: Sequence[Example], chosen: Sequence[int]) -> float:
        loss = self.gradients.step(examples, chosen, 1.0)
        torch.nn.utils.clip_grad_norm_(self.trained, 0.3)
        self.optim.step()
        self.gradients.forget()
        return loss


def agree(shape: Shape) -> str:
    """Loss and gradients of both sides on one small NF4 model, dropout off."""
    small = Shape(shape.vocabulary, shape.hidden, 2, shape.heads)
    part = LoraPart(LORA.rank, LORA.alpha, 0.0)
    examples = full_length(2, shape.vocabulary)
    model = build(small)
    layers = wrap(model, part)
    named = dict(parameters(layers))
    for name, parameter in named.items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    gradients = Gradients(
        Backbone(model, recompute=False), DEVICE, list(named.values()), tokens=2 * LENGTH,
        batching="length", ranks=Ranks(), say=print,
    )  # fmt: skip
    loss = gradients.step(examples, [0, 1], 1.0)
    other = build(small)
    wrapped = get_peft_model(
        other,
        LoraConfig(task_type="CAUSAL_LM", r=part.rank, lora_alpha=part.alpha,
                   target_modules=["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]),
    )  # fmt: skip
    theirs = {n.replace(".default", ""): p for n, p in wrapped.named_parameters() if "lora_" in n}
    for name, parameter in named.items():
        theirs[name].data.copy_(parameter.data)
    ids = torch.tensor([e.ids for e in examples], device=DEVICE)
    out = wrapped(input_ids=ids, labels=ids)
    out.loss.backward()
    worst = max(
        float((named[n].grad - theirs[n].grad).norm() / theirs[n].grad.norm()) for n in named
    )
    del model, other, wrapped
    set_active(layers, True)
    return f"loss {loss:.4f} and {float(out.loss):.4f}; gradients differ by {worst:.2e} at most"


def free() -> None:
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()


def measure(shape: Shape, *, long_steps: int, steps: int) -> None:
    print(
        f"one bf16 product: {speed(DEVICE, torch.bfloat16 if CUDA else torch.float32) / 1e12:.0f} TFLOP/s"
    )
    print("both sides agree:", agree(shape), flush=True)
    free()
    same, real = full_length(BATCH, shape.vocabulary), real_lengths(shape.vocabulary)
    drawn = random.Random(1).sample(range(len(real)), BATCH)
    recipe = recipes.build(
        recipes.preset("original"), ["fit.optimiser=adamw", "fit.micro_batch=auto"]
    )
    print(
        "| side | setting | data | s a step | 100 steps | peak GB | estimate GB |\n|---|---|---|---|---|---|---|"
    )
    long = ours_measured(shape, recipe, same, real, drawn, long_steps=long_steps, steps=steps)
    fastest = plain_measured(shape, same, real, drawn, steps)
    print(f"64 × 256: the fastest plain setting takes {fastest / long:.2f} times as long as ours")


def ours_measured(
    shape: Shape,
    recipe: Recipe,
    same: Sequence[Example],
    real: Sequence[Example],
    drawn: Sequence[int],
    *,
    long_steps: int,
    steps: int,
) -> float:
    """Three settings on one model; seconds a step of the best on full-length rows."""
    ours, every, best = Ours(build(shape), recipe), list(range(BATCH)), 0.0
    for full, micro in ((False, 64), (False, 16), (True, 64)):
        ours.use(tokens=micro * LENGTH, full=full)
        guess = memory.estimate(
            ours.model.config, recipe, tokens=micro * LENGTH, taught=micro * (LENGTH - 1),
            nf4=CUDA, size=2 if CUDA else 4, full=full,
        )  # fmt: skip
        name = f"{'full' if full else 'selective'} recomputation, micro-batch {micro}"
        energy = Energy(DEVICE)
        count = steps if best else long_steps
        found = timed(lambda: ours.step(same, every), count)
        row("ours", name, "64 × 256", found, guess.total / 1e9)
        if not best:
            joules = energy.joules()
            told = f"{joules / 3600:.1f} Wh" if joules else "not told"
            print(f"energy of {count + 1} steps: {told}")
        best = best or found[0]
        row("ours", name, "real lengths", timed(lambda: ours.step(real, drawn), steps))
        free()
    if CUDA and OUT:
        ours.use(tokens=BATCH * LENGTH, full=False)
        profile(lambda: ours.step(same, every), OUT)
    return best


def plain_measured(
    shape: Shape,
    same: Sequence[Example],
    real: Sequence[Example],
    drawn: Sequence[int],
    steps: int,
) -> float:
    """PEFT's settings on one model; seconds a step of the fastest on full-length rows."""
    free()
    wrapped = plain(build(shape), checkpointing=True)
    trained = [p for p in wrapped.parameters() if p.requires_grad]
    optim, fastest = torch.optim.AdamW(trained, lr=1e-4, fused=True), float("inf")
    for checkpointing, micro in ((True, 8), (True, 64), (False, 8), (False, 32)):
        if not checkpointing:
            wrapped.gradient_checkpointing_disable()
        name = f"{'checkpointing' if checkpointing else 'none'}, micro-batch {micro}"
        try:
            for data, rows, chosen in (
                ("64 × 256", same, list(range(BATCH))), ("real lengths", real, drawn),
            ):  # fmt: skip
                if data == "64 × 256" or micro == 8:
                    found = timed(plain_step(wrapped, optim, rows, chosen, micro), steps)
                    row("plain", name, data, found)
                    fastest = min(fastest, found[0] if data == "64 × 256" else fastest)
        except torch.OutOfMemoryError:
            print(f"| plain | {name} | 64 × 256 | out of memory | | | |")
        free()
    return fastest


def row(
    side: str, setting: str, data: str, measured: tuple[float, float], guess: float = 0.0
) -> None:
    seconds, peak = measured
    told = f"{guess:.2f} ({guess / peak - 1:+.1%})" if guess and peak else ""
    print(
        f"| {side} | {setting} | {data} | {seconds:.3f} | {seconds * 100:.0f} | {peak:.2f} | {told} |",
        flush=True,
    )


def profile(step: Callable[[], object], out: Path) -> None:
    """Where a step's time goes, into a file."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CUDA]) as seen:
        step()
        wait()
    table = seen.key_averages().table(
        sort_by="cuda_time_total", row_limit=22, max_name_column_width=70
    )
    (out / "profile.txt").write_text(table)


OUT: Path | None = None


def main() -> None:
    global OUT
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="a tiny model, on any device")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each setting")
    parser.add_argument("--long", type=int, default=100, help="timed steps of the best setting")
    parser.add_argument("--out", type=Path, help="a folder for the profile")
    options = parser.parse_args()
    OUT = options.out
    if not options.check and not CUDA:
        raise SystemExit("This needs a CUDA GPU; `--check` runs the script without one.")
    where = torch.cuda.get_device_name() if CUDA else "CPU"
    print(
        f"Falcon-7B's shape, random weights, NF4, LoRA r {LORA.rank}, dropout {LORA.dropout}; "
        f"{where}; torch {torch.__version__}, transformers {transformers.__version__}"
    )
    measure(
        TINY if options.check else FALCON,
        long_steps=2 if options.check else options.long,
        steps=1 if options.check else options.steps,
    )


if __name__ == "__main__":
    main()
