"""The Triton path beside the fp32 one: on a GPU if there is one, else in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from model.decoders.falcon import banks, lora, weights
from model.decoders.falcon.backend import Rows
from model.decoders.falcon.banks import Lora
from model.decoders.falcon.decoder import FalconDecoder
from model.decoders.falcon.plain import PlainBackend, choose
from model.decoders.falcon.shape import Shape
from model.decoders.protocol import Draw

triton = pytest.importorskip("triton", reason="triton is not installed")
INTERPRETED = bool(triton.knobs.runtime.interpret)
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("there is no CUDA device and no interpreter", allow_module_level=True)

from model.decoders.falcon.triton.backend import TritonBackend  # noqa: E402
from model.decoders.falcon.triton.tiles import WIDTHS, Tile, Tiles  # noqa: E402

DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
SLOTS, CONTEXT = 8, 640
GREEDY = Draw(0, 1, 0, 1, 0)
# Few large programs, since the interpreter takes its time for each; several parts, one of which
# holds the end of attention and the beginning of the MLP.
WIDE, NARROW = dict.fromkeys(WIDTHS, Tile(256)), dict.fromkeys(WIDTHS, Tile(64))
TILES = Tiles(1, 6, WIDE if INTERPRETED else NARROW, NARROW, WIDE if INTERPRETED else NARROW)


def shape(layers: int) -> Shape:
    """Of one layer, with more than the 64 groups of 32 tokens that a draw looks at closely."""
    vocabulary = 2500 if layers == 1 else 283
    return Shape(hidden=128, heads=2, layers=layers, vocabulary=vocabulary)


def pair(layers: int, context: int = CONTEXT) -> tuple[TritonBackend, PlainBackend]:
    """Both backends over the same random weights and two random adapters."""
    made = weights.random(shape(layers), DEVICE)
    fast = TritonBackend(made, slots=SLOTS, context=context, prefill_rows=80, tiles=TILES)
    plain = PlainBackend(made, slots=SLOTS, context=context)
    for number in range(2):
        bank = fast.spare_bank()
        banks.fill(bank, made, adapter(shape(layers), number))
        fast.load_bank(number, bank)
        plain.load_bank(number, bank)
    return fast, plain


def adapter(of: Shape, seed: int) -> list[dict[str, Lora]]:
    generator = torch.Generator().manual_seed(seed)

    def noise(rows: int, columns: int, spread: float) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator) * spread

    return [
        {
            name: Lora(noise(32, columns, columns**-0.5), noise(rows, 32, 0.1))
            for name, (rows, columns) in lora.sizes(of).items()
        }
        for _ in range(of.layers)
    ]


def fill_history(fast: TritonBackend, plain: PlainBackend) -> None:
    generator = torch.Generator().manual_seed(3)
    for layer in range(plain.shape.layers):
        for mine, theirs in ((fast.arena.keys, plain.keys), (fast.arena.values, plain.values)):
            history = torch.randn(theirs[layer].shape, generator=generator).half()
            theirs[layer] = history.float()
            same = mine[layer].shape == history.shape
            mine[layer] = history if same else history.transpose(1, 2)


def scores(fast: TritonBackend, count: int) -> torch.Tensor:
    stride = fast.arena.vocabulary
    return fast.arena.logits[: count * stride].view(count, stride)[:, : fast.shape.vocabulary]


def error(mine: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((mine - wanted).norm() / wanted.norm())


@pytest.fixture(scope="module")
def deep() -> Iterator[tuple[TritonBackend, PlainBackend]]:
    with torch.inference_mode():
        fast, plain = pair(layers=2)
        fill_history(fast, plain)
        fast.use_banks(0, 2)
        for slot in range(SLOTS + 1):
            fast.begin(slot, [1, 2, 3], GREEDY)
            plain.begin(slot, [1, 2, 3], GREEDY)
        yield fast, plain


@pytest.fixture(scope="module")
def shallow() -> Iterator[tuple[TritonBackend, PlainBackend]]:
    with torch.inference_mode():
        yield pair(layers=1, context=128)


def check(both: tuple[TritonBackend, PlainBackend], rows: Rows) -> None:
    fast, plain = both
    drawn = fast.run(rows).read()
    wanted = plain.logits(rows)
    assert error(scores(fast, len(rows.picks)), wanted) < 2e-3
    assert drawn == [int(best) for best in wanted.argmax(dim=1)]


@pytest.mark.parametrize("count", [1, 3])
def test_a_steps_logits_are_those_of_fp32_over_one_span_or_two_and_both_banks(
    deep: tuple[TritonBackend, PlainBackend], count: int
) -> None:
    rows = Rows(picks=list(range(count)))
    for slot in range(count):
        rows.add(slot, (600, 63, 511)[slot], 5 + slot, slot % 2)
    check(deep, rows)


def test_a_prompts_rows_see_one_another_and_only_picks_draw(
    deep: tuple[TritonBackend, PlainBackend],
) -> None:
    rows = Rows(picks=[3, 6])
    for pos in range(4):
        rows.add(2, 20 + pos, pos, 1)
    for pos in range(3):
        rows.add(3, pos, 40 + pos, 0)
    check(deep, rows)
    fast, plain = deep
    mine = fast.arena.values[:, 2, :, 20:24].transpose(1, 2)
    assert error(mine.float(), plain.values[:, 2, 20:24]) < 2e-3


def test_the_matrices_of_a_long_prompt_are_those_of_a_step(
    shallow: tuple[TritonBackend, PlainBackend],
) -> None:
    """The same x through units, and through a dequantised matrix with LoRA's columns."""
    fast, _ = shallow
    fast.use_banks(0, 2)
    a, rows = fast.layers.arena, 80
    a.x.copy_(torch.randn(a.x.shape, generator=torch.Generator().manual_seed(1)))
    a.x2.copy_(torch.randn(a.x2.shape, generator=torch.Generator().manual_seed(2)))
    for count in (rows, 4):
        a.control(count).bank[:] = torch.arange(count) % 2
    first, second = fast.layers.matrices(rows)
    first(0)
    second(0)
    long1, long2 = (y[: 4 * n].clone() for y, n in ((a.y1, fast.shape.rows1), (a.y2, 128)))
    parts = a.parts.second
    long_u = a.u2[: parts * rows * 64].view(parts, rows, 64).sum(dim=0)[:4]
    first, second = fast.layers.matrices(4)
    first(0)
    second(0)
    short1 = a.y1[: a.parts.first * len(long1)].view(a.parts.first, -1).sum(dim=0)
    short2 = a.y2[: parts * len(long2)].view(parts, -1).sum(dim=0)
    short_u = a.u2[: parts * 4 * 64].view(parts, 4, 64).sum(dim=0)
    assert error(short1, long1) < 1e-3
    assert error(short2, long2) < 1e-3
    assert error(short_u, long_u) < 1e-3


@pytest.mark.parametrize(
    "draw",
    [
        Draw(0, 1, 0, 1.3, 0),
        Draw(0.7, 0.9, 50, 1.1, 5),
        Draw(1.0, 1.0, 0, 1.0, 2**63 + 6),
        Draw(1.3, 0.8, 0, 1.2, 7),
        Draw(0.5, 0.3, 200, 1.0, 8),
        Draw(0.3, 0.95, 0, 1.0, 4),
        Draw(1.0, 1.0, 64, 1.1, 3),
        Draw(1.0, 0.9, 1, 1.0, 9),
    ],
)
def test_the_kernel_draws_what_the_plain_rule_draws(
    shallow: tuple[TritonBackend, PlainBackend], draw: Draw
) -> None:
    fast, _ = shallow
    a, rows = fast.arena, 3
    logits = torch.randn(rows, fast.shape.vocabulary, generator=torch.Generator().manual_seed(6))
    logits = (logits * 3).to(DEVICE)
    for slot in range(rows):
        fast.begin(slot, [1, 2, 3 + slot], draw)
    assert sampled(fast, logits) == [
        choose(logits[i], draw, 91 * i + 3, written([1, 2, 3 + i])) for i in range(rows)
    ]
    newest = a.newest[:rows].tolist()
    assert all(a.seen[i, token // 32] >> (token % 32) & 1 for i, token in enumerate(newest))


def sampled(fast: TritonBackend, logits: torch.Tensor) -> list[int]:
    """What the kernel draws from these logits, for the first slots and some positions."""
    a, rows = fast.arena, len(logits)
    scores(fast, rows).copy_(logits)
    slot = torch.arange(rows, dtype=torch.int32, device=DEVICE)
    fast.layers.sample(rows, slot, slot * 91 + 3)
    return [int(token) for token in a.tokens[:rows]]


def written(tokens: list[int]) -> torch.Tensor:
    seen = torch.zeros(shape(1).vocabulary, dtype=torch.bool, device=DEVICE)
    seen[tokens] = True
    return seen


def test_scores_that_are_no_numbers_draw_nothing(
    shallow: tuple[TritonBackend, PlainBackend],
) -> None:
    fast, _ = shallow
    fast.begin(0, [1], Draw(1, 1, 0, 1.0, 0))
    logits = torch.zeros(1, fast.shape.vocabulary, device=DEVICE)
    logits[0, 7] = float("inf")
    assert sampled(fast, logits) == [-1]
    assert int(fast.arena.newest[0]) == 0


def test_a_reply_goes_on_from_its_prefix_and_ends_on_its_own_adapter(
    shallow: tuple[TritonBackend, PlainBackend],
) -> None:
    """The same calls on both backends: a step ahead, a kept prefix, a change of adapter."""
    fast, plain = shallow
    told = [talk(FalconDecoder(each, plain.weights, None, "small")) for each in (fast, plain)]
    assert told[0] == told[1]
    assert len(set(told[0])) > 4


def talk(decoder: FalconDecoder) -> list[int]:
    prompt, out = [5, 77, 210, 3], []
    decoder.open(0, prompt, 0, GREEDY)
    decoder.open(1, [8], 0, Draw(0.8, 0.9, 20, 1.1, 3))
    first = decoder.extend({0: prompt, 1: [8]}, frozenset({0, 1}))
    coming = [decoder.step([0, 1]) for _ in range(2)]
    out += [token for each in (first, *coming) for token in each.tokens().values()]
    decoder.close(0)
    decoder.switch(decoder.stage(None))
    longer = [*prompt, out[0], 9]
    decoder.open(0, longer, 0, GREEDY)
    out += decoder.extend({0: longer}, frozenset({0})).tokens().values()
    out += decoder.step([0, 1]).tokens().values()
    decoder.close(0)
    decoder.open(0, [*longer, 7], len(longer), GREEDY)
    out += decoder.extend({0: [7]}, frozenset({0})).tokens().values()
    return out
