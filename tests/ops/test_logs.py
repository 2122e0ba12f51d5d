"""No word, token or number of a person reaches a log line, whoever writes it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog

from bot.logs import KEYS, install
from bot.store.database import StoreError

CANARY = "canary-sentence-4417"
TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
PHONE = "+44 20 7946 0958"


@pytest.fixture
def lines() -> Iterator[Any]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    install("DEBUG", structlog.processors.JSONRenderer(), stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before
    root.setLevel(level)


def test_our_own_lines_say_their_sentence_and_their_numbers(lines: Any) -> None:
    logging.getLogger("bot.inbox").info("Took %d updates in %.1f s", 3, 0.25)
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == (
        "Took 3 updates in 0.2 s", "info", "bot.inbox",
    )  # fmt: skip
    assert set(line) <= KEYS


def test_an_error_of_ours_says_its_sentence_and_any_other_only_its_type(lines: Any) -> None:
    log = logging.getLogger("bot.x")
    log.error("%s", StoreError("The disk is full: make room."))
    log.error("It failed: %s", ValueError(CANARY))
    assert [line["event"] for line in lines()] == [
        "The disk is full: make room.", "It failed: ValueError",
    ]  # fmt: skip


@pytest.mark.parametrize("secret", [TOKEN, PHONE, "user:hunter2@"])
def test_what_looks_like_a_secret_is_taken_out_of_our_own_lines(lines: Any, secret: str) -> None:
    logging.getLogger("bot.x").warning("at %s", f"https://{secret}x")
    assert secret not in json.dumps(lines())


@pytest.mark.parametrize(
    "name", ["httpx", "telegram.ext.Updater", "uvicorn.error", "sqlalchemy.engine", "asyncio"]
)
def test_a_library_says_where_and_never_what(lines: Any, name: str) -> None:
    logging.getLogger(name).error(f"update {CANARY} of {TOKEN}")
    logging.getLogger(name).error("update %s", {"text": CANARY})
    (first, second) = lines()
    assert CANARY not in json.dumps([first, second])
    assert TOKEN not in json.dumps([first, second])
    assert first["where"].startswith("test_logs.test_a_library")


def test_a_library_that_set_its_own_handlers_before_writes_nothing_past_the_rules() -> None:
    own, rules = io.StringIO(), io.StringIO()
    library = logging.getLogger("a.library.with.handlers")
    library.addHandler(logging.StreamHandler(own))
    library.propagate = False
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    install("DEBUG", structlog.processors.JSONRenderer(), rules)
    library.error("update %s", CANARY)
    root.handlers[:] = before
    root.setLevel(level)
    assert own.getvalue() == ""
    assert json.loads(rules.getvalue())["logger"] == "a.library.with.handlers"


def test_a_traceback_has_places_and_no_words(lines: Any) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("bot.x").exception("A turn failed")
        logging.getLogger("telegram.ext").exception("Exception %s", CANARY)
    for line in lines():
        assert line["error"] == "ValueError"
        assert "test_a_traceback_has_places" in line["trace"][0]
        assert CANARY not in json.dumps(line)


def test_extra_keys_are_not_taken_over(lines: Any) -> None:
    logging.getLogger("bot.x").info("fine", extra={"text": CANARY, "phone": PHONE})
    assert CANARY not in json.dumps(lines())


async def test_a_request_with_the_token_in_its_address_leaves_no_token(lines: Any) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200))
    logging.getLogger("httpx").setLevel(logging.DEBUG)
    async with httpx.AsyncClient(transport=transport) as client:
        await client.get(f"https://api.telegram.org/bot{TOKEN}/getMe")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    assert lines()
    assert TOKEN not in json.dumps(lines())
