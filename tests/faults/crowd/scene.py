"""The crowd's world: the Bot API server, the people, and the bot in its own process.

Runs where the people are; the bot's figures are its own. Knows how to start,
kill and look at the bot from outside, and what each person has said.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bot import texts
from bot.clock import system_clock
from bot.playground.server import Playground
from bot.playground.state import person_id
from bot.store.store import Store
from tests.faults.crowd.watching import Watching
from tests.faults.crowd.words import mark_in, mark_of, message

TOKEN = "1:playground"
ROOT = Path(__file__).parents[3]
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Pace:
    """How the scripted model speaks: seconds before the first word, words, seconds a word."""

    think_s: float = 1.0
    words: int = 20
    word_s: float = 0.1


@dataclass
class Scene:
    """`open`, then people say things, then `judge` (see verdict.py)."""

    folder: Path
    people: int
    pace: Pace = field(default_factory=Pace)
    seed: int = 1
    said: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng, self.watching = random.Random(self.seed), Watching()
        self.telegram = Playground(TOKEN, 0, dict, faults=self.watching)
        self.moments = self.folder / "moments"
        self._next = [0] * (self.people + 1)
        self.process: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        """Everybody has agreed already; then the bot starts."""
        await self.telegram.start()
        async with asyncio.timeout(PATIENCE_S):
            await self._consents()
            await self.start()

    async def start(self) -> float:
        """Start the bot; returns how long it took until it says that it is ready."""
        began = time.monotonic()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.crowd.bot", str(self.moments),
            str(self.pace.think_s), str(self.pace.words), str(self.pace.word_s),
            cwd=ROOT, env=self._settings(), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout
        assert await self.process.stdout.readline() == b"ready\n", "the bot did not start"
        return time.monotonic() - began

    async def whole(self) -> None:
        """Until the gate has both its readers: the second comes some seconds after a start."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.noted("whole"):
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is said."""
        assert self.process
        self.process.kill()
        await self.process.wait()

    async def close(self) -> int:
        """As a supervisor ends it; returns the exit code."""
        assert self.process
        if self.process.returncode is None:
            self.process.terminate()
        code = await self.process.wait()
        await self.telegram.stop()
        return code

    def say(self, person: int) -> str:
        """One more message of this person; returns its mark."""
        mark = mark_of(person, self._next[person])
        self._next[person] += 1
        self.said[mark] = time.monotonic()
        self.telegram.world.say(f"person {person}", message(self.rng, mark))
        return mark

    def memory_mb(self) -> float:
        """The bot's resident memory."""
        assert self.process
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu_s(self) -> float:
        """Processor time that the bot has used."""
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def noted(self, name: str) -> list[tuple[str, float]]:
        """The bot's moments of one name, oldest first."""
        lines = self.moments.read_text().splitlines() if self.moments.exists() else []
        split = [line.split() for line in lines]
        return [(each[1], float(each[2])) for each in split if each[0] == name]

    def final_texts(self) -> dict[int, list[str]]:
        """For each person the marks of the replies that stand in the chat, from the top."""
        found: dict[int, list[str]] = {}
        for person in range(self.people + 1):
            messages = self.telegram.world.chat(f"person {person}").messages
            own = [messages[n] for n in sorted(messages) if messages[n]["from"]["is_bot"]]
            found[person] = [m for m in (mark_in(str(each.get("text"))) for each in own) if m]
        return found

    async def settled(self) -> None:
        """Until every message of the people that wait for a reply has one."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.unanswered() <= self.refusable():
                await asyncio.sleep(0.05)

    def unanswered(self) -> set[str]:
        """Marks without their final text."""
        return set(self.said) - set(self.watching.arrived)

    def refusable(self) -> set[str]:
        """What the flooder said: the bot may refuse it."""
        return {mark for mark in self.said if mark.startswith(mark_of(self.people, 0)[:-1])}

    async def _consents(self) -> None:
        url = f"sqlite:///{(self.folder / 'lanner.db').resolve()}"
        store = await Store.open(url, self.folder, system_clock)
        for person in range(self.people + 1):
            number = person_id(f"person {person}")
            await store.person(number)
            await store.consent(number, texts.CONSENT_VERSION)
        await store.close()

    def _settings(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        return kept | {
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "LANNER_API_URL": self.telegram.url,
            "LANNER_DATA_DIR": str(self.folder),
            "LANNER_DASHBOARD_PORT": "0",
            # The crowd is what is measured, not the limit that would send it away.
            "LANNER_TOTAL_RATE": "1000000",
            "LANNER_LOG_LEVEL": "ERROR",
            "OMP_NUM_THREADS": "1",
        }
