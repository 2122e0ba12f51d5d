"""Falcon-7B's shape through Lanner's loader, queue and engine, beside HF generate.

    python tests/benchmarks/gpu/falcon7b.py

The weights are random, so the text is noise and only sizes and speeds mean
anything; no download is needed. It needs a CUDA GPU with 20 GB and 15 GB of
disk. `--check` runs the script itself on a tiny model, without a GPU.
"""

# ruff: noqa: T201 - it is a command that prints

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import string
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import FalconConfig, FalconForCausalLM, PreTrainedTokenizerFast

from model import adapters
from model.engine import Engine
from model.loading import load_decoder
from model.prompt import PromptBuilder
from model.queue import WorkerQueue
from model.types import Done, Request, Sampling, Turn

PROMPT_TOKENS, NEW_TOKENS, RANK, RUNS = 128, 64, 32, 3
EOS = 11


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

    def linears(self) -> dict[str, tuple[int, int]]:
        head = self.hidden // self.heads
        return {
            "self_attention.query_key_value": (self.hidden, self.hidden + 2 * head),
            "self_attention.dense": (self.hidden, self.hidden),
            "mlp.dense_h_to_4h": (self.hidden, 4 * self.hidden),
            "mlp.dense_4h_to_h": (4 * self.hidden, self.hidden),
        }


FALCON, TINY = Shape(), Shape(vocabulary=300, hidden=64, layers=2, heads=4)


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def write_base(folder: Path, shape: Shape) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device()):
        model = FalconForCausalLM(shape.config())
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder, max_shard_size="4GB")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = alphabet + [f"w{i}" for i in range(shape.vocabulary - len(alphabet) - 1)]
    names.insert(EOS, "<|endoftext|>")
    raw = Tokenizer(models.BPE(vocab={n: i for i, n in enumerate(names)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=names[EOS]).save_pretrained(folder)


def write_adapter(folder: Path, shape: Shape, seed: int) -> None:
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    tensors = {}
    for layer in range(shape.layers):
        for name, (width, height) in shape.linears().items():
            at = f"base_model.model.transformer.h.{layer}.{name}"
            tensors[f"{at}.lora_A.weight"] = torch.randn(RANK, width) * 0.01
            tensors[f"{at}.lora_B.weight"] = torch.randn(height, RANK) * 0.01
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiiuae/falcon-7b",
        "r": RANK,
        "lora_alpha": RANK,
        "lora_dropout": 0.05,
        "bias": "none",
        "target_modules": [name.rsplit(".", 1)[-1] for name in shape.linears()],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


def prompts(tokenizer: Any, people: int) -> list[str]:
    """One text a person, each PROMPT_TOKENS long inside the template."""
    room = PROMPT_TOKENS - len(PromptBuilder(tokenizer).ids([Turn("user", "")]))
    rng = random.Random(people)
    return ["".join(rng.choices(string.ascii_letters, k=room)) for _ in range(people)]


async def ask_all(queue: WorkerQueue, texts: list[str], sampling: Sampling) -> list[Done]:
    async def ask(number: int, text: str) -> Done:
        name = f"{number}"
        request = Request(name, name, name, (Turn("user", text),), sampling)
        async for event in queue.submit(request):
            if isinstance(event, Done):
                return event
        raise SystemExit("a reply failed")

    return list(await asyncio.gather(*(ask(i, text) for i, text in enumerate(texts))))


def hf_generate(model: Any, tokenizer: Any, texts: list[str]) -> Any:
    builder = PromptBuilder(tokenizer)
    ids = torch.tensor([builder.ids([Turn("user", text)]) for text in texts], device=device())
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=EOS,
        )
    return out[:, ids.shape[1] :]


def per_second(run: Callable[[], int]) -> float:
    """Median tokens a second of RUNS runs, after one that warms up."""
    run()
    found = []
    for _ in range(RUNS):
        began = time.perf_counter()
        wrote = run()
        found.append(wrote / (time.perf_counter() - began))
    return statistics.median(found)


def row(loop: asyncio.AbstractEventLoop, queue: WorkerQueue, decoder: Any, people: int) -> str:
    texts = prompts(decoder.tokenizer, people)
    greedy = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=NEW_TOKENS)
    last: list[Done] = []

    def ours(sampling: Sampling) -> int:
        last[:] = loop.run_until_complete(ask_all(queue, texts, sampling))
        return sum(done.completion_tokens for done in last)

    theirs = per_second(lambda: hf_generate(decoder.model, decoder.tokenizer, texts).numel())
    peak_reset()
    fast = per_second(lambda: ours(greedy))
    first = sorted(done.first_token_s for done in last)[int(0.95 * (people - 1))]
    drawn = per_second(lambda: ours(Sampling(seed=1, max_new_tokens=NEW_TOKENS)))
    return (
        f"| {people} | {theirs:.1f} | {fast:.1f} | {fast / theirs:.2f} | {drawn:.1f} | "
        f"{drawn / theirs:.2f} | {first:.2f} | {peak():.2f} |"
    )


def same_text(loop: asyncio.AbstractEventLoop, queue: WorkerQueue, decoder: Any) -> str:
    text = prompts(decoder.tokenizer, 1)
    greedy = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=NEW_TOKENS)
    mine = loop.run_until_complete(ask_all(queue, text, greedy))[0].text
    wanted = decoder.tokenizer.decode(hf_generate(decoder.model, decoder.tokenizer, text)[0])
    return "equals generate" if mine == wanted.lstrip().rstrip("\ufffd") else "DIFFERS"


async def reload_under_load(queue: WorkerQueue, decoder: Any) -> str:
    """Swap the adapter while some of 96 replies run and the others wait."""
    texts = prompts(decoder.tokenizer, 96)
    greedy = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=NEW_TOKENS)
    talk = asyncio.create_task(ask_all(queue, texts, greedy))
    while queue.status().running < 24 and not talk.done():
        await asyncio.sleep(0.01)
    began = time.perf_counter()
    await queue.reload("other")
    took, done = time.perf_counter() - began, await talk
    used = [sum(d.adapter == name for d in done) for name in ("first", "other")]
    return f"{took:.2f} s; of 96 replies {used[0]} ended on the old adapter, {used[1]} on the new"


def peak_reset() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak() -> float:
    return torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0


def measure(folder: Path, shape: Shape, sizes: list[int]) -> None:
    began = time.perf_counter()
    write_base(folder / "base", shape)
    for seed, name in enumerate(("first", "other")):
        write_adapter(folder / "adapters" / name, shape, seed)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    print(f"random weights written in {time.perf_counter() - began:.0f} s", flush=True)
    began = time.perf_counter()
    decoder = load_decoder(str(folder / "base"), folder, lambda text: print(text, flush=True))
    print(f"loaded in {time.perf_counter() - began:.0f} s", flush=True)
    print(f"Linear4bit modules: {decoder.quantised_modules}")
    print(f"memory, model: {decoder.memory_bytes() / 1e9:.2f} GB")
    decoder.load_adapter(adapters.named(folder / "adapters", "first"))
    print(f"memory, model and LoRA r {RANK}: {decoder.memory_bytes() / 1e9:.2f} GB", flush=True)
    queue = WorkerQueue(lambda: Engine(decoder, 64), folder / "adapters", capacity=128)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(queue.start())
    print(f"greedy text of one reply: {same_text(loop, queue, decoder)}")
    print(
        "| people | HF generate, tok/s | Lanner greedy, tok/s | ratio | "
        "Lanner sampling, tok/s | ratio | first token p95, s | peak GB |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for people in sizes:
        print(row(loop, queue, decoder, people), flush=True)
    print(f"reload under load: {loop.run_until_complete(reload_under_load(queue, decoder))}")
    loop.run_until_complete(queue.stop())
    loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="a tiny model, on any device")
    check = parser.parse_args().check
    if not check and not torch.cuda.is_available():
        raise SystemExit("This needs a CUDA GPU; `--check` runs the script without one.")
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(
        f"Falcon-7B's shape, random weights, NF4 + LoRA r {RANK}, unmerged; {PROMPT_TOKENS} "
        f"prompt and {NEW_TOKENS} new tokens; {where}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), TINY if check else FALCON, [1, 2] if check else [1, 8, 64])


if __name__ == "__main__":
    main()
