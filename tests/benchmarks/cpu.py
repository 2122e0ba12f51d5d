"""Lanner beside transformers' `generate` on this machine's CPU: the demo model, real weights.

    make bench                            # or: python -m tests.benchmarks.cpu --help

Both sides run in this process, one after the other within each repetition, on
the same prompts, greedy, to the same number of tokens. `generate` runs in the
checkpoint's bf16 or in fp32, with one thread or with all, whichever was fastest
when tried.
Lanner runs through its own queue, as people's turns do. Figures are medians of
the repetitions; their spread is printed too, since a busy machine disturbs them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from model.engine import Engine
from model.loading import load_decoder, quiet
from model.prompt import PromptBuilder
from model.queue import WorkerQueue
from model.types import Done, Request, Sampling, Text, Turn
from tests.model.fidelity import along, distance, reply

QUESTION = "I have slept badly for a week and everything feels too much. What could help tonight?"
QUESTIONS = (
    QUESTION,
    "My exams are next week and I keep putting everything off.",
    "I had an argument with my sister and I cannot stop thinking about it.",
    "Tell me one small thing that I could do for myself today.",
)
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def generate(model: Any, ids: list[int], people: int, tokens: int) -> float:
    """Seconds that transformers takes for a batch, prompt included."""
    batch = torch.tensor([ids] * people)
    began = time.perf_counter()
    model.generate(
        input_ids=batch,
        attention_mask=torch.ones_like(batch),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
    )
    return time.perf_counter() - began


class Peer:
    """transformers' side at its best: its dtype and threads are chosen by trying."""

    def __init__(self, folder: Path, ids: list[int], tokens: int) -> None:
        from transformers import AutoModelForCausalLM

        self._ids, self._tokens = ids, tokens
        self._models = {
            dtype: AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
            for dtype in (torch.bfloat16, torch.float32)
        }
        self._best = (torch.bfloat16, 1)

    @property
    def way(self) -> str:
        """The dtype and the threads that were fastest."""
        return f"{str(self._best[0]).removeprefix('torch.')}, {self._best[1]} threads"

    def model(self, dtype: torch.dtype) -> Any:
        """The model in one dtype."""
        return self._models[dtype]

    def choose(self, people: int) -> None:
        """Try every way, twice, on a few tokens; the fastest one is timed later."""
        ways = [(d, t) for d in self._models for t in sorted({1, os.cpu_count() or 1})]
        self._best = min(ways, key=lambda way: min(self._took(way, people, 8) for _ in range(2)))

    def rate(self, people: int) -> float:
        """Tokens a second in all, the prompt's time included."""
        return people * self._tokens / self._took(self._best, people, self._tokens)

    def _took(self, way: tuple[torch.dtype, int], people: int, tokens: int) -> float:
        torch.set_num_threads(way[1])
        return generate(self._models[way[0]], self._ids, people, tokens)


async def talk(queue: WorkerQueue, name: str, tokens: int) -> tuple[Done, list[float]]:
    """One person's turn; when each piece of text came."""
    sampling = Sampling(0, 1, 0, 1.0, None, tokens)
    pieces = []
    # Every turn is a new conversation: nothing is kept, as `generate` keeps nothing.
    wanted = Request(name, name, name, (Turn("user", QUESTION),), sampling, deadline_s=600)
    async for event in queue.submit(wanted):
        if isinstance(event, Text):
            pieces.append(time.perf_counter())
        if isinstance(event, Done):
            return event, pieces
    raise SystemExit("A turn failed: the figures would be worth nothing.")


async def lanner(queue: WorkerQueue, people: int, tokens: int, mark: str) -> float:
    """Tokens a second in all."""
    began = time.perf_counter()
    ends = await asyncio.gather(*(talk(queue, f"{mark}-{n}", tokens) for n in range(people)))
    written = sum(done.completion_tokens for done, _ in ends)
    return written / (time.perf_counter() - began)


def endless(decoder: Any) -> Any:
    """Replies run to their limit on both sides, so that the same number of tokens is timed."""
    decoder.eos_ids = frozenset()
    return decoder


def make_adapter(folder: Path, model: Any) -> None:
    """A random LoRA adapter, r 16 on all matrices: only its cost means anything."""
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(model, LoraConfig(r=16, target_modules=ALL, task_type="CAUSAL_LM"))
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_config.json"
    base = {"base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    path.write_text(json.dumps(json.loads(path.read_text()) | base))


async def reload_under_load(queue: WorkerQueue, people: int, tokens: int) -> dict[str, float]:
    """The longest time that a stream stood still while an adapter was changed, ms."""
    talks = [asyncio.create_task(talk(queue, f"r-{n}", tokens)) for n in range(people)]
    await asyncio.sleep(1)
    began = time.perf_counter()
    await queue.reload("random")
    took = time.perf_counter() - began
    ends = await asyncio.gather(*talks)
    pairs = [pair for _, pieces in ends for pair in itertools.pairwise(pieces)]
    gaps = [later - earlier for earlier, later in pairs]
    around = [b - a for a, b in pairs if b > began and a < began + took]
    return {
        "reload_s": took,
        "longest_stall_ms": 1e3 * max(around, default=0.0),
        "median_between_pieces_ms": 1e3 * statistics.median(gaps),
        "turns": float(len(ends)),
    }


async def measure(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Both sides in turn, and a table."""
    decoder = endless(load_decoder("demo", options.data_dir, say))
    threads = torch.get_num_threads()
    ids = PromptBuilder(decoder.tokenizer).ids([Turn("user", QUESTION)])
    folder = options.data_dir / "models" / "smollm2-135m-instruct"
    peer = Peer(folder, ids, options.tokens)
    adapters = options.data_dir / "benchmark-adapters"

    def build() -> Engine:
        torch.set_num_threads(threads)
        return Engine(decoder)

    queue = WorkerQueue(build, adapters)
    await queue.start()
    found: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "path": decoder.path,
        "prompt_tokens": len(ids),
        "tokens": options.tokens,
    }
    try:
        for people in (1, 4):
            theirs, ours = [], []
            await asyncio.to_thread(peer.choose, people)
            await lanner(queue, people, 8, f"warm-{people}")
            for number in range(options.repetitions):
                theirs.append(await asyncio.to_thread(peer.rate, people))
                ours.append(await lanner(queue, people, options.tokens, f"{people}-{number}"))
            found[str(people)] = _row(say, people, peer.way, theirs, ours)
        found["distance"] = fidelity(say, decoder, peer)
        make_adapter(adapters / "random", peer.model(torch.bfloat16))
        found["reload"] = await reload_under_load(queue, 4, options.tokens)
        say("reload under load: " + ", ".join(f"{k} {v:.1f}" for k, v in found["reload"].items()))
    finally:
        await queue.stop()
    return found


def fidelity(say: Callable[[str], None], decoder: Any, peer: Peer) -> dict[str, Any]:
    """How far Lanner's and bf16 transformers' distributions are from fp32, on real prompts."""
    half, exact = peer.model(torch.bfloat16), peer.model(torch.float32)
    prompts = PromptBuilder(decoder.tokenizer)
    ours, theirs = [], []
    for question in QUESTIONS:
        prompt = prompts.ids([Turn("user", question)])
        whole, wanted = reply(exact, prompt, 40)
        with torch.inference_mode():
            logits = half(torch.tensor([whole])).logits[0, len(prompt) - 1 : -1]
        theirs.append(distance(wanted, logits))
        ours.append(distance(wanted, along(decoder, whole, len(prompt))))
    found = {}
    for name, several in (("Lanner", ours), ("generate in bf16", theirs)):
        kl = statistics.mean(d.mean_kl for d in several)
        same = statistics.mean(d.same_best for d in several)
        found[name] = {"mean_kl": kl, "same_best": same}
        say(f"{name} beside fp32: mean KL {kl:.5f} nats, best token the same {100 * same:.1f} %")
    return found


def _row(
    say: Callable[[str], None], people: int, way: str, theirs: list[float], ours: list[float]
) -> dict[str, Any]:
    a, b = statistics.median(theirs), statistics.median(ours)
    streams = "1 stream" if people == 1 else f"{people} streams"
    say(
        f"{streams}, tokens/s: generate {a:.1f} ({min(theirs):.1f} to {max(theirs):.1f}; "
        f"{way}), Lanner {b:.1f} ({min(ours):.1f} to {max(ours):.1f}), ratio {b / a:.2f}"
    )
    return {"generate": a, "way": way, "lanner": b, "ratio": b / a, "all": [theirs, ours]}


def main() -> None:
    """Print the table, and one line of JSON for the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--tokens", type=int, default=32, help="new tokens of each reply")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    quiet()
    found = asyncio.run(measure(options, print))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
