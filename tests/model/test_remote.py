"""A model on another server: a small peer with faults, and `transformers serve` as a real one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as Call
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from model.loading import open_model
from model.remote import RemoteModel
from model.remote_prompt import budget, newest
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


def request(name: str = "a", deadline_s: float = 60, sampling: Sampling | None = None) -> Request:
    turns = (Turn("system", "Be kind."), Turn("user", "hello"))
    return Request(name, name, name, turns, sampling or Sampling(), deadline_s)


def event(text: str, reason: str | None = None) -> str:
    return f"data: {json.dumps({'choices': [{'text': text, 'finish_reason': reason}]})}\n\n"


WHOLE = [event(" "), event("Good "), event("evening"), event("", "stop"), "data: [DONE]\n\n"]


ENDLESS: list[str | float] = [0.05, event("x")] * 1000


class Peer:
    """Answers each call with the next script: a status, or pieces of a stream."""

    def __init__(self) -> None:
        self.scripts: list[int | list[str | float]] = []
        self.bodies: list[dict[str, object]] = []
        self.keys: list[str | None] = []
        self.left = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/completions", self.completions, methods=["POST"]),
            ]
        )

    async def models(self, call: Call) -> Response:
        self.keys.append(call.headers.get("authorization"))
        return JSONResponse({"data": []}, 401 if self.keys[-1] == "Bearer wrong" else 200)

    async def completions(self, call: Call) -> Response:
        self.bodies.append(await call.json())
        script = self.scripts.pop(0) if self.scripts else list[str | float](WHOLE)
        if isinstance(script, int):
            return JSONResponse({"error": "no"}, script)
        return StreamingResponse(self._stream(script), media_type="text/event-stream")

    async def _stream(self, script: list[str | float]) -> AsyncIterator[str]:
        try:
            for part in script:
                if isinstance(part, str):
                    yield part
                elif part < 0:
                    raise ConnectionError("the peer breaks off")
                else:
                    await asyncio.sleep(part)
        finally:
            self.left.set()


@asynccontextmanager
async def served(peer: Peer) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(peer.app, port=0, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = server.force_exit = True
        await task


@asynccontextmanager
async def model(peer: Peer, **options: object) -> AsyncIterator[RemoteModel]:
    async with served(peer) as url:
        found = RemoteModel(url, "falcon", pause_s=0.01, **options)  # type: ignore[arg-type]
        await found.start()
        try:
            yield found
        finally:
            await found.stop()


async def events(found: RemoteModel, wanted: Request) -> list[Event]:
    return [event async for event in found.submit(wanted)]


async def test_a_reply_streams_and_the_prompt_is_the_projects_own() -> None:
    peer = Peer()
    async with model(peer, key="secret") as found:
        got = await events(found, request(sampling=Sampling(seed=5, max_new_tokens=9)))
    done = got[-1]
    assert [e.text for e in got if isinstance(e, Text)] == ["Good ", "evening"]
    assert isinstance(done, Done)
    assert (done.text, done.reason, done.model) == ("Good evening", "stop", "falcon")
    body = peer.bodies[0]
    assert body["prompt"] == "Be kind.\n<HUMAN>: hello\n<ASSISTANT>:"
    assert (body["seed"], body["max_tokens"], body["stream"]) == (5, 9, True)
    assert peer.keys == ["Bearer secret"]


@pytest.mark.parametrize("fault", [503, 429, [], [-1.0], [event(""), -1.0]])
async def test_what_fails_before_the_first_word_is_tried_again(
    fault: int | list[str | float],
) -> None:
    peer = Peer()
    peer.scripts = [fault, fault]
    async with model(peer) as found:
        done = (await events(found, request()))[-1]
    assert isinstance(done, Done)
    assert done.text == "Good evening"
    assert len(peer.bodies) == 3


async def test_what_fails_after_the_first_word_is_said_and_never_tried_again() -> None:
    peer = Peer()
    peer.scripts = [[event("Good "), 0.1, -1.0]]
    async with model(peer) as found:
        got = await events(found, request())
        assert found.status().last_error
    assert isinstance(got[0], Text)
    assert isinstance(got[-1], Failed)
    assert "retry" in got[-1].sentence
    assert len(peer.bodies) == 1


@pytest.mark.parametrize("script", [["data: nonsense\n\n"], ['data: {"error": {"m": 1}}\n\n']])
async def test_an_answer_that_is_no_completion_fails_with_a_sentence(
    script: list[str | float],
) -> None:
    peer = Peer()
    peer.scripts = [script]
    async with model(peer) as found:
        assert isinstance((await events(found, request()))[-1], Failed)


async def test_a_refused_request_names_the_settings_and_is_not_repeated() -> None:
    peer = Peer()
    peer.scripts = [404]
    async with model(peer) as found:
        last = (await events(found, request()))[-1]
    assert isinstance(last, Failed)
    assert "LANNER_REMOTE_KEY" in last.sentence
    assert len(peer.bodies) == 1


async def test_cancelling_closes_the_stream_at_the_server() -> None:
    peer = Peer()
    peer.scripts = [[event("Good "), *ENDLESS]]
    async with model(peer) as found:
        got: list[Event] = []
        async for one in found.submit(request()):
            got.append(one)
            found.cancel("a")
        assert isinstance(got[-1], Cancelled)
        assert got[-1].text.startswith("Good")
        await asyncio.wait_for(peer.left.wait(), 20)
        assert found.status().running == 0
        assert not found.cancel("a")


async def test_a_silent_server_fails_the_turn_at_its_deadline() -> None:
    peer = Peer()
    peer.scripts = [[30.0]]
    async with model(peer) as found:
        last = (await events(found, request(deadline_s=0.3)))[-1]
    assert isinstance(last, Failed)
    assert "too long" in last.sentence


async def test_more_than_the_capacity_is_refused() -> None:
    peer = Peer()
    peer.scripts = [[event("Good "), *ENDLESS]]
    async with model(peer, capacity=1) as found:
        first = found.submit(request("a"))
        await anext(first)
        with pytest.raises(QueueFull, match="try again"):
            await events(found, request("b"))
        await first.aclose()  # type: ignore[attr-defined]
        assert isinstance((await events(found, request("b")))[-1], Done)


async def test_a_server_that_is_not_there_or_refuses_the_key_is_named_at_the_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ModelUnavailable, match="does not answer: start it"):
            await RemoteModel(url, "x").start()
    async with served(Peer()) as url:
        with pytest.raises(ModelUnavailable, match="LANNER_REMOTE_KEY"):
            await RemoteModel(url, "x", key="wrong").start()


def test_a_url_in_the_settings_makes_a_remote_model(tmp_path: Path) -> None:
    found = open_model(
        model="http://127.0.0.1:1/v1#m", adapter=None, data_dir=tmp_path, adapters_dir=tmp_path
    )
    assert isinstance(found, RemoteModel)
    assert found.status().model == "m"


async def test_a_server_that_knows_only_openais_fields_is_asked_without_the_others() -> None:
    peer = Peer()
    peer.scripts = [400]
    async with model(peer) as found:
        for name in ("a", "b"):
            last = [event async for event in found.submit(request(name))][-1]
            assert isinstance(last, Done)
    assert ["top_k" in body for body in peer.bodies] == [True, False, False]
    assert peer.bodies[0]["repetition_penalty"] == Sampling().repetition_penalty


def test_the_newest_turns_that_fit_are_sent_and_a_long_message_keeps_its_end() -> None:
    old = [Turn("user", "a" * 50), Turn("assistant", "b" * 50), Turn("user", "c" * 50)]
    system = Turn("system", "s")
    assert newest([system, *old], 120) == [system, old[2]]
    assert newest([system, *old], 1000) == [system, *old]
    assert newest([system, Turn("user", "x" * 500 + "end")], 100)[1].text.endswith("end")
    assert budget(request()) > 3000


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _command() -> str | None:
    beside = Path(sys.executable).parent / "transformers"
    return str(beside) if beside.exists() else shutil.which("transformers")


def _answers(url: str, alive: Callable[[], bool]) -> bool:
    until = time.monotonic() + 100
    while time.monotonic() < until and alive():
        try:
            httpx.get(f"{url}/models", timeout=5)
            return True
        except httpx.HTTPError:
            time.sleep(0.3)
    return False


@pytest.mark.slow
async def test_transformers_serve_is_a_peer(tmp_path: Path) -> None:
    """The real server, with the tiny Falcon on its CPU."""
    pytest.importorskip("fastapi", reason="`transformers serve` needs fastapi")
    pytest.importorskip("openai", reason="`transformers serve` needs openai")
    command = _command()
    if command is None:
        pytest.skip("the transformers command is not installed")
    tiny.falcon().save_pretrained(tmp_path / "m")
    tiny.tokenizer().save_pretrained(tmp_path / "m")
    (tmp_path / "hub").mkdir()
    port = _free_port()
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen(
        [command, "serve", "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"],
        stdout=log,
        stderr=log,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")},
    )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        answers = await asyncio.to_thread(_answers, url, lambda: server.poll() is None)
        assert answers, (tmp_path / "log").read_text()[-2000:]
        found = RemoteModel(url, str(tmp_path / "m"))
        await found.start()
        greedy = Sampling(temperature=0, repetition_penalty=1.0, max_new_tokens=8)
        done = (await events(found, request(sampling=greedy)))[-1]
        await found.stop()
        assert isinstance(done, Done), (done, (tmp_path / "log").read_text()[-2000:])
        assert done.text
    finally:
        server.terminate()
        server.wait(20)
        log.close()
