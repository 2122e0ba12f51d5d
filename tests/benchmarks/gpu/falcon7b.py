"""Falcon-7B's shape through Lanner's loader, queue and engine, beside HF generate.

    python tests/benchmarks/gpu/falcon7b.py [--path triton] [--brief]

The weights are random, so the text is noise and only sizes and speeds mean
anything; no download is needed. HF generate runs on bitsandbytes NF4 with the
same LoRA by PEFT, unmerged, in the same run. It needs a CUDA GPU with 20 GB and
20 GB of disk. Kernels alone, their errors and the roofline: steps.py.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import string
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import FalconConfig, FalconForCausalLM, PreTrainedTokenizerFast

from model import loading
from model.decoders.protocol import Draw
from model.engine import Engine
from model.prompt import PromptBuilder
from model.queue import WorkerQueue
from model.types import Done, Failed, Request, Sampling, Text, Turn
from tests.benchmarks.gpu.steps import copy_bandwidth, must_read

PROMPT_TOKENS, NEW_TOKENS, RANK, RUNS = 128, 64, 32, 3
EOS = 11
PEOPLE, TURNS = 64, 3
PROMPTS = (128, 512, 1024, 2048)
GREEDY = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=NEW_TOKENS)


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


FALCON = Shape()


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def write_base(folder: Path, shape: Shape) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device()):
        model = FalconForCausalLM(shape.config())
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder, max_shard_size="4GB")
    # Texts of these tokens read back as the same tokens, as a real vocabulary's mostly do, so
    # that a conversation's next turn finds its history in the KV.
    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    names.insert(EOS, "<|endoftext|>")
    raw = Tokenizer(models.BPE(vocab={n: i for i, n in enumerate(names)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_tokens([f"<w{i}>" for i in range(shape.vocabulary - len(names))])
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


def per_second(run: Callable[[], int], runs: int = RUNS) -> float:
    """Median tokens a second of some runs, after one that warms up."""
    run()
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        wrote = run()
        found.append(wrote / (time.perf_counter() - began))
    return statistics.median(found)


def hf_model(folder: Path) -> Any:
    """The baseline: bitsandbytes NF4 and an unmerged PEFT adapter."""
    from peft import PeftModel

    base = loading._load_nf4(str(folder / "base"))
    found = loading.check_quantised(base)
    print(f"HF: {found} Linear4bit modules, {torch.cuda.memory_allocated() / 1e9:.2f} GB with ours")
    return PeftModel.from_pretrained(base, str(folder / "adapters" / "first")).eval()


def row(
    loop: asyncio.AbstractEventLoop,
    queue: WorkerQueue,
    tokenizer: Any,
    hf: Any,
    n: int,
    runs: int,
    floor_s: float,
) -> str:
    texts = prompts(tokenizer, n)
    last: list[Done] = []

    def ours(sampling: Sampling) -> int:
        last[:] = loop.run_until_complete(ask_all(queue, texts, sampling))
        return sum(done.completion_tokens for done in last)

    theirs = per_second(lambda: hf_generate(hf, tokenizer, texts).numel(), runs)
    fast = per_second(lambda: ours(GREEDY), runs)
    drawn = per_second(lambda: ours(Sampling(seed=1, max_new_tokens=NEW_TOKENS)), runs)
    first = percentile([done.first_token_s for done in last], 0.95)
    return (
        f"| {n} | {theirs:.1f} | {fast:.0f} | {fast / theirs:.1f} | {drawn:.0f} | "
        f"{drawn / theirs:.1f} | {drawn / n * floor_s:.0%} | {first * 1e3:.0f} |"
    )


def percentile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


def hf_prefill(model: Any, tokens: int) -> float:
    """Prompt tokens a second of one HF forward pass with a cache."""
    ids = torch.randint(100, 60000, (1, tokens), device=device())

    def run() -> int:
        with torch.inference_mode():
            model(input_ids=ids, use_cache=True, logits_to_keep=1)
        torch.cuda.synchronize()
        return tokens

    return per_second(run)


def our_prefill(decoder: Any, tokens: int) -> float:
    """Prompt tokens a second of one slot, in chunks as the engine feeds them."""
    ids = torch.randint(100, 60000, (tokens,)).tolist()

    def run() -> int:
        decoder.open(0, ids, 0, Draw(0, 1, 0, 1, 0))
        for at in range(0, tokens, decoder.prefill_tokens):
            chunk = ids[at : at + decoder.prefill_tokens]
            end = frozenset({0}) if at + len(chunk) == tokens else frozenset()
            drawn = decoder.extend({0: chunk}, end)
        drawn.tokens()
        decoder.close(0)
        return tokens

    return per_second(run)


@dataclass
class Heard:
    """What people waited for, in seconds."""

    first: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    failed: int = 0
    tokens: int = 0


def script(people: int) -> list[tuple[float, list[tuple[float, str, int]]]]:
    """When each person comes, and for each turn: the pause before, the text, the reply's length."""
    rng = random.Random(5)
    found = []
    for _ in range(people):
        turns = [
            (
                rng.expovariate(1 / 3),
                "".join(rng.choices(string.ascii_letters, k=rng.randint(40, 160))),
                rng.randint(40, 120),
            )
            for _ in range(TURNS)
        ]
        found.append((rng.uniform(0, 4), turns))
    return found


async def one_person(queue: WorkerQueue, number: int, plan: Any, heard: Heard) -> None:
    come, turns = plan
    await asyncio.sleep(come)
    history: list[Turn] = []
    for at, (pause, text, length) in enumerate(turns):
        if at:
            await asyncio.sleep(pause)
        history.append(Turn("user", text))
        sampling = Sampling(seed=number, max_new_tokens=length)
        request = Request(f"{number}-{at}", str(number), str(number), tuple(history), sampling)
        asked = last = time.perf_counter()
        began = False
        async for event in queue.submit(request):
            now = time.perf_counter()
            if isinstance(event, Text):
                if began:
                    heard.between.append(now - last)
                else:
                    (heard.later if at else heard.first).append(now - asked)
                last, began = now, True
            elif isinstance(event, Done):
                heard.tokens += event.completion_tokens
                heard.whole.append(now - asked)
                history.append(Turn("assistant", event.text))
            elif isinstance(event, Failed):
                heard.failed += 1


async def conversation(queue: WorkerQueue, reload: bool) -> str:
    """64 people with pauses of 3 s; with `reload`, the adapter is swapped three times meanwhile."""
    heard, began, took = Heard(), time.perf_counter(), []
    people = [
        asyncio.create_task(one_person(queue, i, plan, heard))
        for i, plan in enumerate(script(PEOPLE))
    ]
    for name in ("other", "first", "other") if reload else ():
        await asyncio.sleep(3)
        at = time.perf_counter()
        await queue.reload(name)
        took.append(time.perf_counter() - at)
    await asyncio.gather(*people)
    spent = time.perf_counter() - began
    said = (
        "first token p50/p95 ms: "
        f"first turn {percentile(heard.first, 0.5) * 1e3:.0f}/"
        f"{percentile(heard.first, 0.95) * 1e3:.0f}, "
        f"later {percentile(heard.later, 0.5) * 1e3:.0f}/"
        f"{percentile(heard.later, 0.95) * 1e3:.0f}; between texts p95 "
        f"{percentile(heard.between, 0.95) * 1e3:.0f} ms, longest {max(heard.between) * 1e3:.0f}; "
        f"whole reply p50/p95 {percentile(heard.whole, 0.5):.2f}/"
        f"{percentile(heard.whole, 0.95):.2f} s; "
        f"{heard.tokens / spent:.0f} tokens/s; failed {heard.failed}"
    )
    return said + (f"; reloads took {', '.join(f'{t:.2f}' for t in took)} s" if took else "")


def hf_conversation(model: Any, tokenizer: Any) -> str:
    """The same people on HF generate: whoever waits goes into the next batch."""
    builder, plans = PromptBuilder(tokenizer), script(PEOPLE)
    now, due = 0.0, [(plan[0], i, 0) for i, plan in enumerate(plans)]
    history: list[list[Turn]] = [[] for _ in plans]
    whole, tokens = [], 0
    tokenizer.padding_side, tokenizer.pad_token_id = "left", EOS
    while due:
        now = max(now, min(due)[0])
        batch = [d for d in due if d[0] <= now][:PEOPLE]
        due = [d for d in due if d not in batch]
        for _, i, at in batch:
            history[i].append(Turn("user", plans[i][1][at][1]))
        ids = tokenizer.pad(
            {"input_ids": [builder.ids(history[i]) for _, i, _ in batch]}, return_tensors="pt"
        )
        longest = max(plans[i][1][at][2] for _, i, at in batch)
        began = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(
                **ids.to(device()),
                max_new_tokens=longest,
                min_new_tokens=longest,
                do_sample=False,
                pad_token_id=EOS,
            )
        torch.cuda.synchronize()
        now += time.perf_counter() - began
        for row, (asked, i, at) in enumerate(batch):
            length = plans[i][1][at][2]
            text = tokenizer.decode(out[row, ids["input_ids"].shape[1] :][:length])
            history[i].append(Turn("assistant", text))
            whole.append(now - asked)
            tokens += length
            if at + 1 < TURNS:
                due.append((now + plans[i][1][at + 1][0], i, at + 1))
    return (
        f"whole reply (generate tells nothing before) p50/p95 {percentile(whole, 0.5):.2f}/"
        f"{percentile(whole, 0.95):.2f} s; {tokens / now:.0f} tokens/s"
    )


def loaded(how: str, folder: Path, kernels: str, say: Callable[[str], None]) -> Any:
    """The decoder, and how long it took."""
    began = time.perf_counter()
    decoder = loading.load_decoder(str(folder / "base"), folder, say, kernels=kernels)
    say(f"{how}: ready in {time.perf_counter() - began:.1f} s")
    return decoder


def measure(folder: Path, shape: Shape, kernels: str, *, brief: bool) -> None:
    def say(text: str) -> None:
        print(text, flush=True)

    began = time.perf_counter()
    write_base(folder / "base", shape)
    for seed, name in enumerate(("first", "other")):
        write_adapter(folder / "adapters" / name, shape, seed)
    torch.cuda.empty_cache()
    bandwidth = copy_bandwidth()
    torch.cuda.empty_cache()
    say(f"random weights written in {time.perf_counter() - began:.0f} s")
    decoder = loaded("quantised and packed", folder, kernels, say)
    if not brief:
        del decoder
        gc.collect()
        torch.cuda.empty_cache()
        decoder = loaded("loaded from the packed copy", folder, kernels, say)
    memory = decoder.memory_bytes() / 1e9
    say(f"path: {decoder.path}; memory with {decoder.slots} slots {memory:.2f} GB")
    # A step reads every weight and one adapter; histories this short add little.
    floor_s = must_read(decoder.backend) / bandwidth
    say(
        f"copies run at {bandwidth / 1e12:.2f} TB/s, so a step takes {floor_s * 1e3:.2f} ms or more"
    )
    mine = {} if brief else {n: our_prefill(decoder, n - 1) for n in PROMPTS}
    decoder.clear()
    queue = WorkerQueue(lambda: Engine(decoder), folder / "adapters", adapter="first", capacity=128)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(queue.start())
    hf = hf_model(folder)
    say(
        "| people | HF generate, tok/s | Lanner greedy, tok/s | ratio | Lanner sampling, tok/s | "
        "ratio | of the roofline | first token p95, ms |\n|---|---|---|---|---|---|---|---|"
    )
    for people in (1, 8, 64):
        say(row(loop, queue, decoder.tokenizer, hf, people, 1 if brief else RUNS, floor_s))
    if not brief:
        prompts_and_talks(loop, queue, decoder, hf, mine, say)
    loop.run_until_complete(queue.stop())
    loop.close()


def prompts_and_talks(
    loop: asyncio.AbstractEventLoop,
    queue: WorkerQueue,
    decoder: Any,
    hf: Any,
    mine: dict[int, float],
    say: Callable[[str], None],
) -> None:
    for tokens in PROMPTS:
        theirs = hf_prefill(hf, tokens)
        ratio = mine[tokens] / theirs
        say(
            f"prompt of {tokens}: HF {theirs:.0f} tok/s, Lanner {mine[tokens]:.0f}, "
            f"ratio {ratio:.2f}"
        )
    say(f"HF, {PEOPLE} people: {hf_conversation(hf, decoder.tokenizer)}")
    say(f"Lanner, {PEOPLE} people: {loop.run_until_complete(conversation(queue, reload=False))}")
    say(f"Lanner, reloads meanwhile: {loop.run_until_complete(conversation(queue, reload=True))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", choices=("auto", "compiled", "triton"), default="auto")
    parser.add_argument("--brief", action="store_true", help="only 1, 8 and 64 people, each once")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This needs a CUDA GPU.")
    print(
        f"Falcon-7B's shape, random weights, NF4 + LoRA r {RANK}, unmerged; {PROMPT_TOKENS} "
        f"prompt and {NEW_TOKENS} new tokens; {torch.cuda.get_device_name()}; torch "
        f"{torch.__version__}, transformers {transformers.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), FALCON, options.path, brief=options.brief)


if __name__ == "__main__":
    main()
