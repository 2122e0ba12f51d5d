"""The real program as a newcomer starts it, with the demo model and a real browser."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Program:
    """`python -m bot` without a token, and the person in front of its page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        options = {
            "LANNER_DATA_DIR": str(self.folder),
            "LANNER_PLAYGROUND_PORT": "0",
            "LANNER_MODEL": "demo",
            "LANNER_MAX_NEW_TOKENS": "120",
            # Greedy: the same words at every run.
            "LANNER_TEMPERATURE": "0",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot"],
            cwd=ROOT,
            env=kept | options,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout
        for line in self.process.stdout:
            if "Chat with Lanner at" in line:
                self.url = line.split()[-1]
                return
        pytest.fail("the program ended without an address")

    def end(self, number: int) -> int:
        assert self.process
        self.process.send_signal(number)
        code = self.process.wait(60)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def act(self, **what: Any) -> None:
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}play/act",
            json.dumps({"as": "you", **what}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request).close()  # noqa: S310

    def messages(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}play/state?as=you") as answer:  # noqa: S310
            return list(json.load(answer)["messages"])

    def replies(self) -> list[str]:
        return [m.get("text", "") for m in self.messages() if m["from"]["is_bot"]]

    def say(self, text: str) -> str:
        before = len(self.replies())
        self.act(kind="say", text=text)
        return self.wait(lambda: self.replies()[-1] if len(self.replies()) > before else "")

    def wait(self, met: Callable[[], str]) -> str:
        end = time.monotonic() + 90
        while time.monotonic() < end:
            if found := met():
                return found
            time.sleep(0.1)
        pytest.fail("nothing came")

    def agree(self) -> None:
        self.say("/start")
        last = self.messages()[-1]["message_id"]
        self.act(kind="press", message_id=last, data="consent:yes")
        self.wait(lambda: self.replies()[-1] if "mind" in self.replies()[-1] else "")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def program(data: Path) -> Iterator[Program]:
    program = Program(data)
    program.start()
    yield program
    if program.process and program.process.poll() is None:
        program.end(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_newcomer_chats_and_a_killed_program_forgets_nothing(program: Program) -> None:
    program.agree()
    assert program.say("I cannot sleep, work keeps going round in my head.")
    assert "emergency" in program.say("I want to kill myself tonight")
    program.say("I am safe now")
    assert "6 messages in this conversation" in program.say("/status")
    program.end(signal.SIGKILL)
    program.start()
    assert "6 messages in this conversation" in program.say("/status")
    assert program.end(signal.SIGTERM) == 0


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_in_a_browser_words_stream_in_and_stop_ends_them(program: Program, data: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    program.say("/new")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 520, "height": 920})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(program.url)
        page.get_by_label("Message").fill("/start")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="I am 18 or older and agree").click()
        expect(page.get_by_text("What is on your mind?").last).to_be_visible(timeout=20_000)
        page.get_by_label("Message").fill("Please tell me a long story about rest.")
        page.keyboard.press("Enter")
        page.wait_for_selector(".draft", timeout=60_000)
        page.wait_for_function(
            "(document.querySelector('.draft .bubble')||{}).textContent?.length > 12",
            timeout=60_000,
        )
        page.get_by_role("button", name="Stop", exact=True).click()
        page.wait_for_selector(".draft", state="detached", timeout=60_000)
        page.screenshot(path=str(data / "chat.png"))
        if keep := os.environ.get("LANNER_SCREENSHOT"):
            shutil.copy(data / "chat.png", keep)
        browser.close()
    assert errors == []
