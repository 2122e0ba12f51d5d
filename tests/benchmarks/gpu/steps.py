"""Steps and prompts of Falcon-7B's shape on kernels of our own: right, and how fast.

    python tests/benchmarks/gpu/steps.py [--path triton]

Random weights, two random adapters, random history. Logits are compared with
the fp32 backend over the same dequantised weights; times are medians of graph
replays; the roofline is the bytes that a step must read over the bandwidth of a
large copy, measured in the same run. The compiled kernels need a Hopper GPU and nvcc.
"""


# mypy: ignore-errors

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from model.decoders.falcon import banks, lora, weights
from model.decoders.falcon.backend import Rows
from model.decoders.falcon.banks import Lora
from model.decoders.falcon.graphs import STEPS, GraphBackend
from model.decoders.falcon.plain import PlainBackend
from model.decoders.falcon.shape import Shape
from model.decoders.protocol import Draw

FALCON = Shape(hidden=4544, heads=71, layers=32, vocabulary=65024)
SLOTS, CONTEXT = 64, 2048
SAMPLING = Draw(temperature=0.7, top_p=0.9, top_k=50, repetition_penalty=1.1, seed=3)


def microseconds(run: Callable[[], object], repeats: int = 15) -> float:
    """Median device time of `run`."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return statistics.median(times)


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of a 4 GB copy."""
    a = torch.empty(4 << 30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.nbytes / (microseconds(lambda: b.copy_(a), 5) * 1e-6)


def fill(backend: GraphBackend, plain: PlainBackend) -> None:
    """Two random adapters and the same random history in both."""
    shape, device = backend.shape, backend.device
    generator = torch.Generator(device).manual_seed(7)

    def noise(*size: int, spread: float) -> torch.Tensor:
        return torch.randn(size, generator=generator, device=device) * spread

    for number in range(2):
        layers = [
            {
                name: Lora(noise(32, columns, spread=columns**-0.5), noise(rows, 32, spread=0.02))
                for name, (rows, columns) in lora.sizes(shape).items()
            }
            for _ in range(shape.layers)
        ]
        bank = backend.spare_bank()
        banks.fill(bank, backend.arena.weights, layers)
        backend.load_bank(number, bank)
        plain.load_bank(number, bank)
    for layer in range(shape.layers):
        for mine, theirs in (
            (backend.arena.keys, plain.keys),
            (backend.arena.values, plain.values),
        ):
            history = noise(*theirs[layer].shape, spread=1.0).half()
            theirs[layer] = history.float()
            if mine is backend.arena.values:
                history = history.transpose(1, 2)
            mine[layer] = history
    torch.cuda.synchronize()


def rows_at(count: int, context: int, *, mixed: bool) -> Rows:
    """One row a slot; `mixed`: positions and banks that differ."""
    rows = Rows(picks=list(range(count)))
    for slot in range(count):
        pos = (context - 1 - 37 * slot) % context if mixed else context - 1
        rows.add(slot, pos, 100 + 7 * slot, slot % 2 if mixed else 0)
    return rows


def scores(backend: GraphBackend, count: int) -> torch.Tensor:
    """Logits of the last run, which must have been greedy."""
    torch.cuda.synchronize()
    stride = backend.arena.vocabulary
    return backend.arena.logits[: count * stride].view(count, stride).clone()


def greedy(backend: GraphBackend) -> None:
    for slot in range(SLOTS):
        backend.begin(slot, [1], Draw(0, 1, 0, 1, 0))


def error(mine: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((mine - wanted).norm() / wanted.norm())


def check_steps(backend: GraphBackend, plain: PlainBackend) -> None:
    backend.use_banks(0, 2)
    kept = {}
    for count in (1, 2, 8, 16, 32, 64):
        rows = rows_at(count, CONTEXT, mixed=True)
        tokens = backend.run(rows).read()
        mine = scores(backend, count)
        kept[count] = mine[0]
        if count in (1, 8, 64):
            wanted = plain.logits(rows)
            same = sum(int(w.argmax()) == t for w, t in zip(wanted, tokens, strict=True))
            print(
                f"step of {count}: logits off by {error(mine, wanted):.2e}, worst row "
                f"{max(error(m, w) for m, w in zip(mine, wanted, strict=True)):.2e}, "
                f"argmax {same}/{count}",
                flush=True,
            )
    equal = {n: torch.equal(kept[1], row) for n, row in kept.items()}
    print(f"row 0 equals, bit for bit, its row alone in a batch of: {equal}", flush=True)


def check_prompts(backend: GraphBackend, plain: PlainBackend) -> None:
    for count in (9, 40, 64, 200, 500):
        rows = Rows()
        for slot, length in ((0, count - count // 3), (1, count // 3)):
            for pos in range(length):
                rows.add(slot, 300 + pos, (31 * pos + slot) % 60000, slot)
            rows.picks.append(len(rows) - 1)
        backend.run(rows).read()
        mine, wanted = scores(backend, 2), plain.logits(rows)
        keys = backend.arena.keys[:, :2, 300 : 300 + count // 3].float()
        off = error(keys, plain.keys[:, :2, 300 : 300 + count // 3])
        print(
            f"prompt of {count}: logits off by {error(mine, wanted):.2e}, keys {off:.2e}",
            flush=True,
        )


def must_read(backend: GraphBackend) -> int:
    """Bytes that any step has to read: weights, the head, one adapter."""
    w, bank = backend.arena.weights, backend.arena.banks[0]
    return w.w1.nbytes + w.w2.nbytes + w.head.nbytes + bank.memory_bytes()


def time_steps(backend: GraphBackend, bandwidth: float) -> None:
    backend.use_banks(0, 1)
    print("| rows | history | greedy µs | sampling µs | tokens/s sampling | of the roofline |")
    print("|---|---|---|---|---|---|")
    for count in STEPS:
        for context in (128, 512, 2048):
            found = []
            for draw in (Draw(0, 1, 0, 1, 0), SAMPLING):
                for slot in range(SLOTS):
                    backend.begin(slot, [1], draw)
                backend.run(rows_at(count, context, mixed=False)).read()
                found.append(microseconds(backend.steps[count]))
            least = (must_read(backend) + count * context * 8192) / bandwidth * 1e6
            rate = count / found[1] * 1e6
            print(
                f"| {count} | {context} | {found[0]:.0f} | {found[1]:.0f} | {rate:.0f} | "
                f"{least / found[1]:.0%} |",
                flush=True,
            )


def recorded(backend: GraphBackend, launch: Callable[[], object]) -> Callable[[], None]:
    with backend.stream.use():
        return backend.stream.record(launch)


def time_kernels(backend: GraphBackend) -> None:
    """Where a step's time goes: each kernel of a layer alone, one launch for each layer."""
    layers, n = backend.layers, backend.shape.layers
    for rows in (1, 8, 64, 512):
        layers.counting = False  # alone, a kernel would wait for what others count
        one, two = layers.matrices(rows)
        if rows <= 64:
            backend.run(rows_at(rows, 512, mixed=False)).read()
        else:
            prompt = Rows(picks=[rows - 1])
            for pos in range(rows):
                prompt.add(0, pos, pos + 1, 0)
            backend.run(prompt).read()
        parts: dict[str, Callable[[int], None]] = {
            "norm": lambda i, r=rows: layers.norm(r, i),
            "W1": one,
            "mix": lambda i, r=rows: layers.mix(r, i, shared=r > 64),
            "W2": two,
        }
        single = dict(parts)
        for names in (("W1", "W2"), ("norm", "W1"), ("W1", "mix"), ("mix", "W2")):
            parts["+".join(names)] = lambda i, n=names, p=single: [p[name](i) for name in n]
        said = []
        for name, part in parts.items():
            took = microseconds(recorded(backend, lambda p=part: [p(i) for i in range(n)]))
            said.append(f"{name} {took / n:.1f}")
        layers.counting = True
        whole = microseconds(recorded(backend, lambda r=rows: layers.body(r, shared=r > 64)))
        said.append(f"whole layer {whole / n:.1f}")
        if rows > 64:
            print(f"µs a kernel, {rows} rows: {', '.join(said)}", flush=True)
            continue
        draw = recorded(backend, lambda r=rows: layers.draw(r, r))
        said.append(f"head and draw {microseconds(draw):.0f}")
        print(f"µs a kernel, {rows} rows, history 512: {', '.join(said)}", flush=True)


def time_prompts(backend: GraphBackend) -> None:
    for count in (16, 64, 256, 512):
        rows = Rows()
        for pos in range(count):
            rows.add(0, pos, pos + 1, 0)
        rows.picks.append(count - 1)
        backend.run(rows).read()
        began, repeats = time.perf_counter(), 8
        for _ in range(repeats):
            drawn = backend.run(rows)
        drawn.read()
        took = (time.perf_counter() - began) / repeats
        print(f"prompt of {count}: {took * 1e3:.2f} ms, {count / took:.0f} tokens/s", flush=True)


def build(path: str, made: weights.Weights, cache: Path) -> GraphBackend:
    if path == "triton":
        from model.decoders.falcon.triton.backend import TritonBackend

        return TritonBackend(made, slots=SLOTS, context=CONTEXT)
    from model.decoders.falcon.cuda.backend import CudaBackend

    return CudaBackend(made, cache, slots=SLOTS, context=CONTEXT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", choices=("compiled", "triton"), default="compiled")
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    parser.add_argument("--layers", type=int, default=FALCON.layers)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    shape = Shape(FALCON.hidden, FALCON.heads, options.layers, FALCON.vocabulary)
    bandwidth = copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, copy {bandwidth / 1e12:.2f} TB/s", flush=True)
    torch.cuda.empty_cache()
    began = time.perf_counter()
    made = weights.random(shape, torch.device("cuda"))
    print(f"random weights in {time.perf_counter() - began:.0f} s", flush=True)
    began = time.perf_counter()
    with torch.inference_mode():
        backend = build(options.path, made, options.cache)
        print(f"{backend.path}", flush=True)
        print(f"kernels and graphs in {time.perf_counter() - began:.0f} s", flush=True)
        print(f"memory {backend.memory_bytes() / 1e9:.2f} GB", flush=True)
        plain = PlainBackend(made, slots=SLOTS, context=CONTEXT)
        fill(backend, plain)
        greedy(backend)
        check_steps(backend, plain)
        check_prompts(backend, plain)
        del plain
        torch.cuda.empty_cache()
        time_steps(backend, bandwidth)
        time_kernels(backend)
        time_prompts(backend)


if __name__ == "__main__":
    main()
