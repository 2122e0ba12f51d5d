"""The real process, killed with -9 at random points: nothing lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from bot.playground.server import Playground
from bot.playground.state import World, person_id
from tests.bot.house import TOKEN

ROOT = Path(__file__).parents[2]
REPLY = "You said something. I heard it."
PEOPLE, MESSAGES, KILLS = ["ada", "bo", "cy"], 5, 4


class Process:
    """The program, started again and again on the same database."""

    def __init__(
        self, folder: Path, telegram: Playground, program: str = "tests.bot.scripted_bot"
    ) -> None:
        self.program = program
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        self.env = kept | {
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "LANNER_API_URL": telegram.url,
            "LANNER_DATA_DIR": str(folder),
        }

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.program, cwd=ROOT, env=self.env,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout
        assert b"Lanner talks" in await self.process.stdout.readline()

    async def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = await self.process.communicate()
        return self.process.returncode or 0, errors.decode()


def replies(world: World, name: str) -> list[str]:
    messages = world.chat(name).messages.values()
    return [m.get("text", "") for m in messages if m["from"]["is_bot"]]


async def until(met: object) -> None:
    async with asyncio.timeout(120):
        while not met():  # type: ignore[operator]
            await asyncio.sleep(0.05)


async def agree(world: World, name: str) -> None:
    world.say(name, "/start")
    await until(lambda: replies(world, name))
    asked = world.chat(name).messages[max(world.chat(name).messages)]
    agreed = asked["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
    world.press(name, asked["message_id"], agreed)
    await until(lambda: len(replies(world, name)) > 1)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_program_that_is_killed_at_random_answers_every_message_once_and_in_order(
    tmp_path: Path,
) -> None:
    rng, telegram = random.Random(7), Playground(TOKEN, 0, dict)
    await telegram.start()
    process, world = Process(tmp_path, telegram), telegram.world
    await process.start()
    for name in PEOPLE:
        await agree(world, name)
    for number in range(MESSAGES):
        for name in PEOPLE:
            world.say(name, f"{name} {number}")
        if number < KILLS:
            await asyncio.sleep(rng.random() * 0.5)
            await process.end(signal.SIGKILL)
            telegram.faults.lose("sendMessage", times=rng.randrange(2))
            await process.start()
    await until(lambda: all(replies(world, n).count(REPLY) >= MESSAGES for n in PEOPLE))
    code, errors = await process.end(signal.SIGTERM)
    await telegram.stop()
    assert code == 0, errors
    for name in PEOPLE:
        assert replies(world, name).count(REPLY) == MESSAGES
        assert person_id(name)
    # What was said must not be in the log either.
    assert not any(f"{name} {number}" in errors for name in PEOPLE for number in range(MESSAGES))
    assert TOKEN not in errors


@pytest.mark.slow
async def test_a_second_process_is_refused_with_one_sentence(tmp_path: Path) -> None:
    telegram = Playground(TOKEN, 0, dict)
    await telegram.start()
    first, second = Process(tmp_path, telegram), Process(tmp_path, telegram)
    await first.start()
    with pytest.raises(AssertionError):
        await second.start()
    _, errors = await second.process.communicate()
    assert second.process.returncode == 1
    assert errors.decode().strip().startswith("Lanner already runs with this database (process")
    assert len(errors.decode().strip().splitlines()) == 1
    assert (await first.end(signal.SIGTERM))[0] == 0
    await telegram.stop()
