"""The dashboard's server over real HTTP."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from bot.observe.metrics import Metrics
from bot.observe.server import DashboardServer
from bot.observe.snapshot import Sources
from bot.observing import TurnReport
from model.types import ModelStatus

STATUS = ModelStatus(
    state="ready", model="tiny <b>model</b>", parameters=1_000_000, device="cpu", path="scripted",
    demo=True, adapter="kind", adapter_sha256="ab" * 32, slots=4, running=2, waiting=1,
    capacity=64, context_tokens=512, tokens_per_s=12.5, memory_bytes=270_000_000,
)  # fmt: skip
CHROMIUM = shutil.which("chromium")


class Here:
    """A service whose condition tests change."""

    def __init__(self) -> None:
        self.status, self.since, self.broken = STATUS, 1.0, False
        self.metrics = Metrics()
        self.server = DashboardServer(
            0, self.metrics,
            Sources(lambda: self.status, lambda: self.since, self._database, lambda: 0),
        )  # fmt: skip

    async def _database(self) -> int:
        if self.broken:
            raise OSError("secret in an error")
        return 0


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    found = Here()
    await found.server.start()
    yield found
    await found.server.stop()


async def get(here: Here, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"{here.server.url}{path}", headers=headers)


async def test_a_sound_service_is_healthy_and_ready(here: Here) -> None:
    assert (await get(here, "healthz")).status_code == 200
    assert (await get(here, "readyz")).status_code == 200


@pytest.mark.parametrize("trouble", ["model", "database", "telegram"])
async def test_each_trouble_makes_it_unready_and_is_named(here: Here, trouble: str) -> None:
    if trouble == "model":
        here.status = replace(STATUS, state="failed", last_error="The GPU is gone.")
    elif trouble == "database":
        here.broken = True
    else:
        here.since = 1000.0
    answer = await get(here, "readyz")
    assert answer.status_code == 503
    failed = [check for check in answer.json()["checks"] if not check["ok"]]
    assert [check["name"] for check in failed] == [trouble]
    assert failed[0]["sentence"]
    assert "secret" not in answer.text
    assert (await get(here, "healthz")).status_code == 200
    assert (await get(here, "readings")).status_code == 200


async def test_prometheus_reads_counts_and_gauges(here: Here) -> None:
    here.metrics.turn_ended(TurnReport("model", 0.1, 0.2, 0.3, 40))
    here.metrics.decided(2)
    text = (await get(here, "metrics")).text
    assert 'lanner_turns_total{end="model"} 1.0' in text
    assert 'lanner_safety_decisions_total{level="2"} 1.0' in text
    assert "lanner_tokens_total 40.0" in text
    assert "lanner_tokens_per_second 12.5" in text


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"host": "127.0.0.1.evil.example:80"},
    ],
)
@pytest.mark.parametrize("path", ["", "readings", "metrics", "healthz"])
async def test_other_hosts_and_origins_are_refused(
    here: Here, path: str, headers: dict[str, str]
) -> None:
    assert (await get(here, path, **headers)).status_code == 403


async def test_the_page_may_load_nothing_from_elsewhere(here: Here) -> None:
    answer = await get(here, "")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http://" not in answer.text
    assert "https://" not in answer.text


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
async def test_an_operator_sees_readings_and_troubles_in_a_browser(here: Here) -> None:
    from playwright.async_api import async_playwright, expect

    from tests.observe.pictures import FLAGS

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        await page.goto(here.server.url)
        await expect(page.get_by_text("People can be answered.")).to_be_visible(timeout=30_000)
        await expect(page.get_by_text("tiny <b>model</b>")).to_be_visible()
        here.status = replace(STATUS, state="failed", last_error="The GPU is gone.")
        await expect(page.locator("#headline")).to_contain_text("The GPU is gone", timeout=30_000)
        await browser.close()
    assert errors == []
