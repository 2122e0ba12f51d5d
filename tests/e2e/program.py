"""The real program as a newcomer starts it, and people in front of its page, over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
# Generous: two cores may be shared with everything else that runs here.
PATIENCE_S = 240
T = TypeVar("T")


def wait(met: Callable[[], T | None], what: str | Callable[[], str] = "nothing came") -> T:
    """What `met` finds once it finds something; `what` says what was there instead."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := met():
            return found
        time.sleep(0.1)
    pytest.fail(what if isinstance(what, str) else what())


def said(message: dict[str, Any]) -> str:
    """What a message says, empty for a mere placeholder."""
    text = str(message.get("text") or message.get("document", {}).get("file_name", ""))
    return "" if not text.strip(" ….") else text


class Program:
    """`python -m bot` without a token. The port stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Returns when the program has printed its address."""
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        options = {
            "LANNER_DATA_DIR": str(self.folder),
            "LANNER_PLAYGROUND_PORT": str(self.port),
            "LANNER_PLAYGROUND_DIR": str(self.folder / "page"),
            "LANNER_MODEL": "demo",
            # Without its adapter the demo model writes at length, so that there is time to stop it.
            "LANNER_ADAPTER": "none",
            # Long enough that a slow browser sees a reply grow.
            "LANNER_MAX_NEW_TOKENS": "320",
            # Greedy: the same words at every run.
            "LANNER_TEMPERATURE": "0",
            # Threads that wait for each other on a busy machine are slower than one alone.
            "OMP_NUM_THREADS": "1",
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
            if line.rstrip().endswith(self.url):
                return
        pytest.fail("the program ended without an address")

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self, number: int) -> int:
        """Send a signal and wait; returns the exit code."""
        assert self.process
        self.process.send_signal(number)
        code = self.process.wait(60)
        if self.process.stdout:
            self.process.stdout.close()
        return code


@dataclass
class Someone:
    """A person at the page."""

    program: Program
    name: str

    def state(self) -> dict[str, Any]:
        query = urllib.parse.urlencode({"as": self.name})
        with urllib.request.urlopen(f"{self.program.url}play/state?{query}") as answer:  # noqa: S310
            return dict(json.load(answer))

    def act(self, kind: str, **what: Any) -> None:
        request = urllib.request.Request(  # noqa: S310
            f"{self.program.url}play/act",
            json.dumps({"as": self.name, "kind": kind, **what}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request).close()  # noqa: S310

    def replies(self) -> list[dict[str, Any]]:
        return [m for m in self.state()["messages"] if m["from"]["is_bot"]]

    def seen(self) -> str:
        """The end of the chat, for a test that waits in vain."""
        state = self.state()
        return json.dumps([state["messages"][-4:], state["draft"], state["action"]])

    def answers(self, before: int) -> list[str]:
        """What the bot has said since it had sent `before` messages; none while it still writes."""
        state = self.state()
        new = [m for m in state["messages"] if m["from"]["is_bot"]][before:]
        # A message with a Stop key, or of dots alone, holds the place of one that is to come.
        unfinished = [m for m in new if "Stop" in str(m.get("reply_markup")) or not said(m)]
        return [] if state["draft"] or unfinished else [said(m) for m in new]

    def say(self, text: str) -> str:
        """Send, and wait until the bot has answered and writes no more."""
        before = len(self.replies())
        self.act("say", text=text)
        return wait(lambda: self.answers(before), self.seen)[-1]

    def press(self, label: str) -> None:
        """Press the newest key with this label, once there is one."""
        message, data = wait(lambda: self._key(label), f"there is no key {label}")
        self.act("press", message_id=message, data=data)

    def _key(self, label: str) -> tuple[int, str] | None:
        for message in reversed(self.replies()):
            for row in message.get("reply_markup", {}).get("inline_keyboard", []):
                for key in row:
                    if label in key["text"]:
                        return message["message_id"], key["callback_data"]
        return None

    def agree(self) -> None:
        """Consent, as a newcomer does."""
        self.act("say", text="/start")
        wait(lambda: self._key("agree"), "there is no key to agree with")
        before = len(self.replies())
        self.press("agree")
        wait(lambda: len(self.replies()) > before)

    def exported(self) -> str:
        """Everything that the bot has stored about this person."""
        before = {m["message_id"] for m in self.replies()}
        self.act("say", text="/export")

        def sent() -> list[dict[str, Any]]:
            return [m for m in self.replies() if "document" in m and m["message_id"] not in before]

        number = wait(sent)[0]["document"]["file_id"]
        with urllib.request.urlopen(f"{self.program.url}play/file/{number}") as answer:  # noqa: S310
            return str(answer.read().decode())
