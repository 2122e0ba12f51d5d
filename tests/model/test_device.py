"""A device that hangs or dies, and another base model: nobody waits for ever, nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from model.decoders.protocol import DeviceLost
from model.decoders.reference import Drawn, ReferenceDecoder
from model.engine import Engine
from model.jobs import DoesNotFit
from model.queue import WorkerQueue
from model.types import (
    AdapterRefused,
    Done,
    Failed,
    ModelUnavailable,
    Request,
    Sampling,
    Turn,
)
from tests.model import tiny
from tests.model.test_worker import ENDLESS, SHORT, begin, last, request


class Sick(ReferenceDecoder):
    """Hangs until it is let go, or raises, when told to."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(tiny.falcon(seed), tiny.tokenizer(), f"tiny-{seed}", base="tiny/falcon")
        self.hang = threading.Event()
        self.let_go = threading.Event()
        self.error: Exception | None = None

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset()

    def step(self, slots: Sequence[int]) -> Drawn:
        if self.hang.is_set():
            self.let_go.wait(60)
        if self.error:
            raise self.error
        return super().step(slots)


def service(
    folder: Path,
    decoder: ReferenceDecoder,
    limit_s: float = 60,
    others: Callable[[str], Engine] | None = None,
    drain_s: float = 60,
) -> WorkerQueue:
    return WorkerQueue(
        lambda: Engine(decoder),
        folder,
        build_base=others,
        round_limit_s=limit_s,
        drain_s=drain_s,
    )


async def test_a_hung_device_fails_turns_at_their_deadline(tmp_path: Path) -> None:
    decoder = Sick()
    queue = service(tmp_path, decoder)
    await queue.start()
    decoder.hang.set()
    late = Request("a", "a", "a", (Turn("user", "x"),), ENDLESS, deadline_s=0.5)
    ended = await asyncio.wait_for(last(queue, late), 30)
    assert isinstance(ended, Failed)
    assert "too long" in ended.sentence
    decoder.let_go.set()
    await queue.stop()


async def test_a_device_hung_past_its_limit_is_declared_dead(tmp_path: Path) -> None:
    decoder = Sick()
    queue = service(tmp_path, decoder, limit_s=0.5)
    await queue.start()
    dead = asyncio.create_task(queue.failed())
    talks = [asyncio.create_task(last(queue, request(name, ENDLESS))) for name in "abcdefg"]
    decoder.hang.set()
    sentence = await asyncio.wait_for(dead, 30)
    ends = await asyncio.wait_for(asyncio.gather(*talks), 30)
    assert "start again" in sentence
    assert all(isinstance(end, Failed) for end in ends)
    assert queue.status().state == "hung"
    with pytest.raises(ModelUnavailable, match="start again"):
        await last(queue, request("z", SHORT))
    await asyncio.wait_for(queue.stop(), 5)
    decoder.let_go.set()


@pytest.mark.parametrize(
    "error",
    [DeviceLost("gone"), RuntimeError("CUDA error: an illegal memory access was encountered")],
)
async def test_a_lost_device_ends_the_service_with_a_sentence(
    tmp_path: Path, error: Exception
) -> None:
    decoder = Sick()
    queue = service(tmp_path, decoder)
    await queue.start()
    talk = await begin(queue, request("a", ENDLESS))
    decoder.error = error
    assert "start again" in await asyncio.wait_for(queue.failed(), 30)
    assert isinstance(await talk, Failed)
    assert queue.status().state == "failed"
    await queue.stop()


async def test_a_device_that_fails_and_fails_is_declared_dead(tmp_path: Path) -> None:
    decoder = Sick()
    queue = service(tmp_path, decoder)
    await queue.start()
    decoder.error = RuntimeError("something is wrong")
    for name in "abc":
        assert isinstance(await last(queue, request(name, SHORT)), Failed)
    await asyncio.wait_for(queue.failed(), 30)
    await queue.stop()


async def test_a_healthy_service_never_reports_a_dead_device(tmp_path: Path) -> None:
    queue = service(tmp_path, Sick())
    await queue.start()
    dead = asyncio.create_task(queue.failed())
    assert isinstance(await last(queue, request("a", SHORT)), Done)
    await queue.stop()
    assert not dead.done()
    dead.cancel()


async def test_another_base_waits_for_running_replies_and_then_answers(tmp_path: Path) -> None:
    made: list[str] = []

    def other(name: str) -> Engine:
        made.append(name)
        return Engine(Sick(seed=7))

    queue = service(tmp_path, Sick(), others=other)
    await queue.start()
    talk = await begin(queue, request("a", ENDLESS))
    change = asyncio.create_task(queue.reload_base("another"))
    while queue.status().state != "reloading":
        await asyncio.sleep(0.01)
    waiting = asyncio.create_task(last(queue, request("b", SHORT)))
    status = await change
    old, new = await talk, await waiting
    assert made == ["another"]
    assert isinstance(old, Done)
    assert isinstance(new, Done)
    assert (old.completion_tokens, old.model) == (ENDLESS.max_new_tokens, "tiny-0")
    assert (new.model, status.model) == ("tiny-7", "tiny-7")
    await queue.stop()


def broken(_name: str) -> Engine:
    decoder = Sick(seed=7)
    decoder.error = RuntimeError("no")
    return Engine(decoder)


def missing(name: str) -> Engine:
    raise ModelUnavailable(f"There is no model at {name}.")


@pytest.mark.parametrize(
    ("others", "reason"), [(broken, "failed its first words"), (missing, "no model at another")]
)
async def test_a_base_that_fails_leaves_the_old_one_serving(
    tmp_path: Path, others: Callable[[str], Engine], reason: str
) -> None:
    queue = service(tmp_path, Sick(), others=others)
    await queue.start()
    with pytest.raises(ModelUnavailable, match=reason):
        await queue.reload_base("another")
    ended = await last(queue, request("a", SHORT))
    assert isinstance(ended, Done)
    assert ended.model == "tiny-0"
    assert queue.status().state == "ready"
    await queue.stop()


async def test_a_base_that_fits_only_alone_comes_after_the_old_one_has_gone(
    tmp_path: Path,
) -> None:
    beside = [True]

    def other(_name: str) -> Engine:
        if beside.pop():
            raise DoesNotFit("too small")
        return Engine(Sick(seed=7))

    beside.insert(0, False)
    queue = service(tmp_path, Sick(), others=other)
    await queue.start()
    assert (await queue.reload_base("another")).model == "tiny-7"
    assert isinstance(await last(queue, request("a", SHORT)), Done)
    await queue.stop()


async def test_the_old_base_comes_back_with_its_adapter_when_the_new_one_never_fits(
    tmp_path: Path,
) -> None:
    tiny.save_adapter(tmp_path / "warm", seed=1)

    def other(_name: str) -> Engine:
        raise DoesNotFit("The GPU has too little memory.")

    queue = WorkerQueue(lambda: Engine(Sick()), tmp_path, adapter="warm", build_base=other)
    await queue.start()
    with pytest.raises(ModelUnavailable, match="too little memory"):
        await queue.reload_base("another")
    ended = await last(queue, request("a", SHORT))
    assert isinstance(ended, Done)
    assert (ended.model, ended.adapter) == ("tiny-0", "warm")
    await queue.stop()


async def test_a_change_of_base_gives_up_when_replies_do_not_end(tmp_path: Path) -> None:
    queue = service(tmp_path, Sick(), others=lambda _: Engine(Sick(seed=7)), drain_s=0)
    await queue.start()
    talk = await begin(queue, request("a", ENDLESS))
    with pytest.raises(ModelUnavailable, match="nothing was changed"):
        await queue.reload_base("another")
    assert isinstance(await talk, Done)
    await queue.stop()


async def test_an_adapter_judged_unfit_is_served_only_when_forced(tmp_path: Path) -> None:
    tiny.save_adapter(tmp_path / "bad", seed=1)
    (tmp_path / "bad" / "manifest.json").write_text(
        '{"verdict": "no-go", "reasons": ["it gave a method"]}'
    )
    queue = service(tmp_path, Sick())
    await queue.start()
    with pytest.raises(AdapterRefused, match="it gave a method"):
        await queue.reload("bad")
    assert queue.status().adapter is None
    assert (await queue.reload("bad", force=True)).adapter == "bad"
    await queue.stop()


async def test_a_third_adapter_waits_until_the_first_one_has_no_reply_left(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two", "three")):
        tiny.save_adapter(tmp_path / name, seed=seed)
    queue = service(tmp_path, Sick())
    await queue.start()
    await queue.reload("one")
    on_one = await begin(queue, request("a", ENDLESS))
    await queue.reload("two")
    third = asyncio.create_task(queue.reload("three"))
    on_two = await last(queue, request("b", Sampling(temperature=0, max_new_tokens=3)))
    assert isinstance(on_two, Done)
    assert on_two.adapter == "two"
    ended = await on_one
    assert isinstance(ended, Done)
    assert ended.adapter == "one"
    assert (await third).adapter == "three"
    await queue.stop()
