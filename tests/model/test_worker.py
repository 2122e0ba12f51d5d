"""What the worker's thread does when things go wrong or end in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.decoders.reference import Drawn, ReferenceDecoder
from model.engine import Engine
from model.queue import WorkerQueue
from model.types import (
    Cancelled,
    Done,
    Event,
    Failed,
    ModelUnavailable,
    QueueFull,
    Request,
    Sampling,
    Text,
    Turn,
)
from tests.model import tiny

ENDLESS = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=200)
SHORT = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=4)


class Faulty(ReferenceDecoder):
    """Fails where it is told to, once each."""

    def __init__(self, width: int = 2) -> None:
        super().__init__(
            tiny.falcon(), tiny.tokenizer(), "tiny", base="tiny/falcon", width=width, slots=4
        )
        self.fail_step = self.fail_extend = False

    @property
    def eos_ids(self) -> frozenset[int]:
        """Replies end at their limit only, so that a test knows how long they are."""
        return frozenset()

    def extend(self, chunks: dict[int, list[int]], last: frozenset[int]) -> Drawn:
        if self.fail_extend:
            self.fail_extend = False
            raise RuntimeError("out of memory")
        return super().extend(chunks, last)

    def step(self, slots: Sequence[int]) -> Drawn:
        drawn = super().step(slots)
        if self.fail_step:
            self.fail_step = False
            raise RuntimeError("the step broke off")
        return drawn


def request(name: str, sampling: Sampling, owner: str | None = None) -> Request:
    return Request(name, owner or name, name, (Turn("user", "hello"),), sampling)


async def last(queue: WorkerQueue, wanted: Request) -> Event:
    return [event async for event in queue.submit(wanted)][-1]


class Service:
    def __init__(self, folder: Path, slots: int = 2, capacity: int = 8) -> None:
        self.decoder = Faulty(slots)
        self.queue = WorkerQueue(lambda: Engine(self.decoder), folder, capacity=capacity)

    async def __aenter__(self) -> Service:
        await self.queue.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.queue.stop()


async def begin(queue: WorkerQueue, wanted: Request) -> asyncio.Task[Event]:
    """Submit, and return once the first words are there."""
    words = asyncio.Event()

    async def read() -> Event:
        async for event in queue.submit(wanted):
            if isinstance(event, Text):
                words.set()
            if isinstance(event, Done | Failed | Cancelled):
                return event
        raise AssertionError("the events ended without an end")

    task = asyncio.create_task(read())
    await words.wait()
    return task


async def test_a_failed_step_ends_its_replies_and_the_next_one_works(tmp_path: Path) -> None:
    async with Service(tmp_path) as service:
        talk = await begin(service.queue, request("a", ENDLESS))
        service.decoder.fail_step = True
        assert isinstance(await talk, Failed)
        assert service.queue.status().last_error == "RuntimeError"
        assert isinstance(await last(service.queue, request("b", SHORT)), Done)


async def test_a_failed_prefill_leaves_the_running_reply_alone(tmp_path: Path) -> None:
    async with Service(tmp_path) as service:
        talk = await begin(service.queue, request("a", ENDLESS))
        service.decoder.fail_extend = True
        assert isinstance(await last(service.queue, request("b", SHORT)), Failed)
        ended = await talk
        assert isinstance(ended, Done)
        assert ended.completion_tokens == ENDLESS.max_new_tokens


async def test_leaving_the_iterator_early_frees_the_slot(tmp_path: Path) -> None:
    async with Service(tmp_path, slots=1) as service:
        stream = service.queue.submit(request("a", ENDLESS))
        while not isinstance(await anext(stream), Text):
            pass
        await stream.aclose()  # type: ignore[attr-defined]
        # With one slot, the next reply can only end if the first gave its slot up.
        done = await last(service.queue, request("b", SHORT))
        assert isinstance(done, Done)


async def test_a_deadline_that_passes_in_the_middle_ends_the_reply(tmp_path: Path) -> None:
    now = [0.0]
    decoder = Faulty(1)
    queue = WorkerQueue(lambda: Engine(decoder), tmp_path, clock=lambda: now[0])
    await queue.start()
    talk = await begin(queue, request("a", ENDLESS))
    now[0] = 121.0
    ended = await talk
    await queue.stop()
    assert isinstance(ended, Failed)
    assert "too long" in ended.sentence


async def test_stopping_ends_every_reply_and_refuses_new_ones(tmp_path: Path) -> None:
    service = Service(tmp_path, slots=1)
    await service.queue.start()
    running = await begin(service.queue, request("a", ENDLESS))
    waiting = asyncio.create_task(last(service.queue, request("b", ENDLESS)))
    await asyncio.sleep(0)
    await service.queue.stop()
    assert isinstance(await running, Cancelled)
    assert isinstance(await waiting, Cancelled)
    assert service.queue.status().state == "stopped"
    with pytest.raises(ModelUnavailable):
        await last(service.queue, request("c", SHORT))
    with pytest.raises(ModelUnavailable):
        await service.queue.reload(None)


async def test_a_stopped_queue_can_start_again(tmp_path: Path) -> None:
    service = Service(tmp_path)
    for name in "ab":
        await service.queue.start()
        assert isinstance(await last(service.queue, request(name, SHORT)), Done)
        await service.queue.stop()


async def test_a_request_is_not_answered_twice(tmp_path: Path) -> None:
    async with Service(tmp_path) as service:
        talk = await begin(service.queue, request("a", ENDLESS))
        with pytest.raises(ModelUnavailable, match="already"):
            await last(service.queue, request("a", SHORT))
        assert isinstance(await talk, Done)


async def test_a_waiting_request_can_be_cancelled_and_gives_its_place_up(tmp_path: Path) -> None:
    async with Service(tmp_path, slots=1, capacity=1) as service:
        talk = await begin(service.queue, request("a", ENDLESS))
        waiting = asyncio.create_task(last(service.queue, request("b", SHORT)))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await last(service.queue, request("c", SHORT))
        assert service.queue.cancel("b")
        assert await waiting == Cancelled("")
        assert isinstance(await last(service.queue, request("c", SHORT)), Done)
        assert isinstance(await talk, Done)
        assert not service.queue.cancel("a")


async def test_a_reply_ends_on_the_adapter_it_began_with(tmp_path: Path) -> None:
    for seed, name in enumerate(("warm", "calm")):
        tiny.save_adapter(tmp_path / name, seed=seed)
    async with Service(tmp_path) as service:
        await service.queue.reload("warm")
        alone = await last(service.queue, request("a", ENDLESS))
        talk = await begin(service.queue, request("b", ENDLESS))
        await service.queue.reload("calm")
        after = await last(service.queue, request("c", SHORT))
        across = await talk
    assert isinstance(alone, Done)
    assert isinstance(across, Done)
    assert isinstance(after, Done)
    assert (across.text, across.adapter, after.adapter) == (alone.text, "warm", "calm")
