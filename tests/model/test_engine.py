"""The engine over slots: whatever comes, leaves and is kept, the tokens are those of `generate`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model import adapters
from model.decoders.protocol import Draw
from model.decoders.reference import Drawn, ReferenceDecoder
from model.engine import Engine, Running
from model.slots import Slots
from model.types import Request, Sampling, Turn
from tests.model import tiny

GREEDY = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=10)
TEXTS = ("hello", "how are you today?", "déjà vu 😀", "a" * 90)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("warm", "calm"), start=1):
        tiny.save_adapter(folder / name, seed=seed)
    return folder


class Ahead(ReferenceDecoder):
    """Hands tokens out one round later, as a GPU does; remembers what it was asked."""

    ahead = True

    def __init__(self, **options: Any) -> None:
        super().__init__(tiny.falcon(), tiny.tokenizer(), "tiny", base="tiny/falcon", **options)
        self.prefill_tokens = 24
        self.extended: list[int] = []

    def extend(self, chunks: dict[int, list[int]], last: frozenset[int]) -> Drawn:
        self.extended.append(sum(len(ids) for ids in chunks.values()))
        return super().extend(chunks, last)


def request(name: str, text: str, sampling: Sampling = GREEDY, who: str | None = None) -> Request:
    return Request(name, who or name, who or name, (Turn("user", text),), sampling)


def finish(engine: Engine, *replies: Running) -> list[list[int]]:
    while any(not reply.ended for reply in replies):
        engine.advance()
    for reply in replies:
        engine.leave(reply)
    return [reply.tokens for reply in replies]


class Oracle:
    """What transformers' own generate writes on each adapter, one prompt at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models: dict[str | None, Any] = {None: tiny.falcon()}
        self._known: dict[tuple[str | None, tuple[int, ...], int], list[int]] = {}

    def tokens(self, adapter: str | None, prompt: list[int], limit: int) -> list[int]:
        key = (adapter, tuple(prompt), limit)
        if key not in self._known:
            self._known[key] = self._generated(adapter, prompt, limit)
        return self._known[key]

    def _generated(self, adapter: str | None, prompt: list[int], limit: int) -> list[int]:
        from peft import PeftModel

        if adapter not in self._models:
            path = str(self._folder / str(adapter))
            self._models[adapter] = PeftModel.from_pretrained(tiny.falcon(), path).eval()
        ids = torch.tensor([prompt])
        out = self._models[adapter].generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=limit,
            do_sample=False,
            pad_token_id=0,
        )
        found: list[int] = out[0, len(prompt) :].tolist()
        return found


@pytest.fixture(scope="module")
def oracle(folder: Path) -> Oracle:
    return Oracle(folder)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 10_000), ahead=st.booleans())
def test_greedy_tokens_equal_generate_whatever_happens_around_them(
    folder: Path, oracle: Oracle, seed: int, ahead: bool
) -> None:
    """Joins, cancels, evictions, edited and continued histories, switches, in random order."""
    rng = random.Random(seed)
    decoder = Ahead(width=3, slots=4)
    decoder.ahead = ahead  # type: ignore[misc]
    engine = Engine(decoder)
    histories: dict[str, list[Turn]] = {}
    talks: list[tuple[str, Running]] = []
    for number in range(40):
        act = rng.random()
        if act < 0.35 and engine.room:
            talks += _join(engine, rng, histories, number, {who for who, _ in talks})
        elif act < 0.42 and talks:
            _who, gone = talks.pop(rng.randrange(len(talks)))
            engine.leave(gone)
        elif act < 0.47 and engine.one_version:
            name = rng.choice(("warm", "calm", None))
            info = adapters.named(folder, name) if name else None
            decoder.switch(decoder.stage(info))
        else:
            engine.advance()
        talks = [talk for talk in talks if not _ended(engine, oracle, histories, *talk)]
    finish(engine, *(talk for _, talk in talks))


def _join(
    engine: Engine,
    rng: random.Random,
    histories: dict[str, list[Turn]],
    number: int,
    busy: set[str],
) -> list[tuple[str, Running]]:
    who = rng.choice("abcdef")
    if who in busy:
        return []
    old = histories.get(who, [])
    if old and rng.random() < 0.3:
        # An edited history must not reuse what stood there before.
        old = [Turn("user", "edited"), *old[1:]]
    histories[who] = [*old, Turn("user", rng.choice(TEXTS))][-5:]
    wanted = Request(str(number), who, who, tuple(histories[who]), GREEDY)
    return [(who, engine.join(wanted, seed=0))]


def _ended(
    engine: Engine, oracle: Oracle, histories: dict[str, list[Turn]], who: str, talk: Running
) -> bool:
    if not talk.ended:
        return False
    assert talk.tokens == oracle.tokens(talk.adapter, talk.prompt, GREEDY.max_new_tokens)
    histories[who].append(Turn("assistant", talk.stream.text))
    engine.leave(talk)
    return True


def test_the_second_turn_puts_in_only_what_is_new(oracle: Oracle) -> None:
    decoder = Ahead(width=2, slots=4)
    engine = Engine(decoder)
    first = engine.join(request("1", "tell me of the sea", who="a"), 0)
    finish(engine, first)
    decoder.extended.clear()
    turns = (
        Turn("user", "tell me of the sea"),
        Turn("assistant", first.stream.text),
        Turn("user", "and then?"),
    )
    second = engine.join(Request("2", "a", "a", turns, GREEDY), 0)
    assert second.kept > len("tell me of the sea")
    tokens = finish(engine, second)[0]
    assert sum(decoder.extended) == len(second.prompt) - second.kept
    assert tokens == oracle.tokens(None, second.prompt, GREEDY.max_new_tokens)


def test_no_conversation_reuses_what_another_left(oracle: Oracle) -> None:
    engine = Engine(Ahead(width=2, slots=4))
    finish(engine, engine.join(request("1", "my secret", who="a"), 0))
    other = engine.join(request("2", "my secret", who="b"), 0)
    assert other.kept == 0
    assert finish(engine, other)[0] == oracle.tokens(None, other.prompt, 10)


def test_another_adapter_makes_the_parked_tokens_worthless(folder: Path, oracle: Oracle) -> None:
    decoder = Ahead(width=2, slots=4)
    engine = Engine(decoder)
    finish(engine, engine.join(request("1", "hello", who="a"), 0))
    decoder.switch(decoder.stage(adapters.named(folder, "warm")))
    again = engine.join(request("2", "hello", who="a"), 0)
    assert again.kept == 0
    assert finish(engine, again)[0] == oracle.tokens("warm", again.prompt, 10)


def test_a_long_prompt_goes_in_by_chunks_while_others_write() -> None:
    decoder = Ahead(width=2, slots=2)
    engine = Engine(decoder)
    long = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=60)
    writer = engine.join(request("1", "hi", long), 0)
    while len(writer.tokens) < 2:
        engine.advance()
    engine.join(request("2", "x" * 200), 0)
    decoder.extended.clear()
    before = len(writer.tokens)
    while not writer.ended and any(r.fed < len(r.prompt) for r in engine.running):
        engine.advance()
    assert max(decoder.extended) <= decoder.prefill_tokens
    # One token a chunk, but for those still under way.
    assert len(writer.tokens) - before >= len(decoder.extended) - 2 or writer.ended


@pytest.mark.parametrize("ahead", [False, True])
def test_a_seed_draws_the_same_tokens_alone_and_in_company(ahead: bool) -> None:
    drawn = Sampling(temperature=1.2, top_k=0, top_p=0.95, seed=11, max_new_tokens=20)

    def tokens(company: Sequence[str]) -> list[int]:
        decoder = Ahead(width=4, slots=4)
        decoder.ahead = ahead  # type: ignore[misc]
        engine = Engine(decoder)
        others = [engine.join(request(text, text), 5) for text in company]
        engine.advance()
        mine = engine.join(request("mine", "hello", drawn), 3)
        return finish(engine, mine, *others)[0]

    assert tokens([]) == tokens(["x" * 70, "y", "good morning"])


def test_a_reply_stops_at_its_stop_string_and_shows_nothing_of_it() -> None:
    engine = Engine(Ahead(width=1, slots=1))
    free = engine.join(request("1", "hello"), 0)
    finish(engine, free)
    text = free.stream.text
    assert len(text) > 3
    stopped = engine.join(request("2", "hello", Sampling(0, 1, 0, 1, 0, 10, (text[2:4],))), 0)
    finish(engine, stopped)
    assert stopped.stream.text == text[: text.index(text[2:4])]
    assert stopped.ended == "stop"


def test_the_slot_used_longest_ago_gives_way() -> None:
    slots = Slots(2)
    for who in "ab":
        number, _ = slots.take(who, [1, 2, 3], lambda _: True)
        slots.park(number, [1, 2, 3])
    number, keep = slots.take("c", [1, 2, 3], lambda _: True)
    assert keep == 0
    slots.park(number, [9])
    assert slots.take("b", [1, 2, 3, 4], lambda _: True)[1] == 3
    assert slots.take("a", [1, 2, 3, 4], lambda _: True)[1] == 0


def test_a_full_prompt_keeps_all_but_its_last_token() -> None:
    slots = Slots(1)
    number, _ = slots.take("a", [1, 2, 3], lambda _: True)
    slots.park(number, [1, 2, 3, 4, 5])
    assert slots.take("a", [1, 2, 3], lambda _: True) == (0, 2)


def test_values_that_are_not_numbers_do_not_outlive_a_clear() -> None:
    decoder = tiny.reference()
    weight = decoder.model.transformer.h[0].mlp.dense_4h_to_h.weight.data
    whole = weight.clone()
    weight.fill_(float("nan"))
    decoder.open(0, [5, 6], 0, Draw(0, 1, 0, 1, 0))
    with pytest.raises(Exception, match="not numbers"):
        decoder.extend({0: [5, 6]}, frozenset({0}))
    weight.copy_(whole)
    decoder.clear()
    decoder.open(0, [5], 0, Draw(0, 1, 0, 1, 0))
    assert decoder.extend({0: [5]}, frozenset({0})).tokens()
