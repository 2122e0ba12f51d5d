"""The real bot, killed with -9 over and over, while people write to it.

Telegram's side (the project's Bot API server) and the people live in this
process; the bot is another, started anew after each kill on the same database.
Each message has a number, and the scripted model's reply repeats it, so that
what is lost, doubled or out of order can be counted in the chats themselves.
Now and then the answer to a sendMessage is lost too.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import sqlite3
import sys
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from pydantic import SecretStr

from bot.__main__ import entry
from bot.logs import configure_logging
from bot.playground.server import Playground
from bot.playground.state import World
from bot.settings import Settings
from tests.bot.house import TOKEN, signed
from tests.faults.forking import context, kill
from tests.faults.people import Echo

PEOPLE, AT_ONCE = 20, 30
# Kills that do not wait until the new process has answered anybody.
STILL_STARTING = 0.2
HEARD = re.compile(r"I heard number (\d+)\.")
MODULES = ["bot.__main__", "tests.faults.people", "tests.faults.whole"]


def run_bot(folder: str, server: str) -> None:
    """What the process runs: the program as it is, but for its model."""
    log = os.open(Path(folder) / "bot.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        telegram_bot_token=SecretStr(TOKEN),
        lanner_api_url=server,
        lanner_data_dir=Path(folder),
        lanner_dashboard_port=0,
        lanner_person_rate=100_000,
        lanner_total_rate=1_000_000,
    )
    configure_logging(settings)
    sys.exit(entry(settings, Echo()))


class Crowd:
    """People who write on as long as not too much is unanswered."""

    def __init__(self, world: World, people: int, updates: int) -> None:
        self.world, self.names = world, [f"person {number}" for number in range(people)]
        self.sent: dict[str, list[int]] = {name: [] for name in self.names}
        # Above all that the guard takes for a crisis line in a reply, such as 988.
        self._numbers = iter(range(1_000, 1_000 + updates))
        self._known: dict[str, tuple[int, list[int]]] = {}
        self.all_sent = False

    def heard(self, name: str) -> list[int]:
        """The numbers of the replies that stand in somebody's chat, in the order there."""
        chat = self.world.chat(name)
        version, heard = self._known.get(name, (-1, []))
        if version != chat.version:
            texts = (m.get("text", "") for m in chat.messages.values())
            heard = [int(found[1]) for text in texts if (found := HEARD.fullmatch(text))]
            self._known[name] = chat.version, heard
        return heard

    def answered(self) -> int:
        """How many messages have their reply, over all."""
        return sum(len(set(self.heard(name))) for name in self.names)

    async def agree(self) -> None:
        """Everybody reads the first text and presses its button."""
        for name in self.names:
            self.world.say(name, "/start")
        for name in self.names:
            await _until(lambda name=name: self._press(name), 300)
        for name in self.names:
            await _until(lambda name=name: len(self._of_bot(name)) > 1, 300)

    async def write(self) -> None:
        """Each number once, by one after the other."""
        people = itertools.cycle(self.names)
        for number in self._numbers:
            name = next(people)
            while sum(map(len, self.sent.values())) - self.answered() >= AT_ONCE:
                await asyncio.sleep(0.02)
            self.sent[name].append(number)
            self.world.say(name, f"number {number}")
        self.all_sent = True

    def verdict(self) -> dict[str, int]:
        """What went wrong, counted."""
        wrong: Counter[str] = Counter({"lost": 0, "doubled": 0, "out of order": 0})
        for name in self.names:
            heard = self.heard(name)
            wrong["lost"] += len(set(self.sent[name]) - set(heard))
            wrong["doubled"] += len(heard) - len(set(heard))
            wrong["out of order"] += sum(a > b for a, b in itertools.pairwise(heard))
        return dict(wrong)

    def lost(self, folder: Path) -> list[str]:
        """For each number without a reply: what stands in the chat where the reply should be."""
        with sqlite3.connect(f"file:{folder}/lanner.db?mode=ro", uri=True) as database:
            return [
                self._fate(database, name, number)
                for name in self.names
                for number in sorted(set(self.sent[name]) - set(self.heard(name)))
            ]

    def _fate(self, database: sqlite3.Connection, name: str, number: int) -> str:
        messages = self.world.chat(name).messages
        said = next(i for i, m in messages.items() if m.get("text") == f"number {number}")
        after = database.execute(
            "SELECT a.telegram_id FROM messages u JOIN messages a ON a.id > u.id "
            "AND a.conversation_id = u.conversation_id AND a.role = 'assistant' "
            "WHERE u.telegram_id = ? ORDER BY a.id LIMIT 1", (said,)
        ).fetchone()  # fmt: skip
        there = messages.get(after[0], {}) if after else {}
        return f"number {number}: message {after and after[0]} holds {there.get('text')!r}"

    def _of_bot(self, name: str) -> list[dict[str, object]]:
        return [m for m in self.world.chat(name).messages.values() if m["from"]["is_bot"]]

    def _press(self, name: str) -> bool:
        for message in self.world.chat(name).messages.values():
            for row in message.get("reply_markup", {}).get("inline_keyboard", []):
                for button in row:
                    if signed(button, "consent:yes"):
                        self.world.press(name, message["message_id"], button["callback_data"])
                        return True
        return False


class Bot:
    """The program's process, started in milliseconds from one that has imported all of it."""

    def __init__(self, folder: Path, server: str) -> None:
        self._given = (str(folder), server)
        self._context = context()
        self._context.set_forkserver_preload(MODULES)
        self.process: BaseProcess | None = None

    def start(self) -> None:
        self.process = self._context.Process(target=run_bot, args=self._given, daemon=True)
        self.process.start()

    def kill(self) -> None:
        assert self.process is not None
        kill(self.process)


async def kills_of_the_whole_bot(
    folder: Path, rng: random.Random, *, updates: int, kills: int
) -> tuple[dict[str, int], list[float], list[str]]:
    """What went wrong, the seconds from each start to the next reply, and each lost reply."""
    telegram = Playground(TOKEN, 0, dict)
    await telegram.start()
    crowd, bot = Crowd(telegram.world, PEOPLE, updates), Bot(folder, telegram.url)
    bot.start()
    resumed: list[float] = []
    try:
        await crowd.agree()
        writing = asyncio.create_task(crowd.write())
        for _ in range(kills):
            await asyncio.sleep(rng.random())
            bot.kill()
            telegram.faults.lose("sendMessage", times=rng.randrange(2))
            before, began = crowd.answered(), time.monotonic()
            bot.start()
            if rng.random() < STILL_STARTING:
                continue
            await _until(lambda before=before: crowd.answered() > before or _idle(crowd), 300)
            resumed.append(time.monotonic() - began)
        await writing
        with suppress(TimeoutError):
            await _until(lambda: crowd.answered() == updates, 600)
        # What would come twice has had time to come.
        await asyncio.sleep(3)
        return crowd.verdict(), resumed, crowd.lost(folder)
    finally:
        bot.kill()
        await telegram.stop()


def _idle(crowd: Crowd) -> bool:
    return crowd.all_sent and crowd.answered() == sum(map(len, crowd.sent.values()))


async def _until(met: object, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not met():  # type: ignore[operator]
            await asyncio.sleep(0.02)
