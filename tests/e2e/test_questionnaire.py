"""PHQ-9 through the real process: danger in the middle, a result, and kill -9 between the taps."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.playground.server import Playground
from bot.signing import EXPIRY, SIGNATURE
from tests.bot.house import TOKEN
from tests.bot.test_kill import Process, agree, replies, until
from tests.e2e.telling_bot import ASKED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
YOU = "you"
REPLY = "I hear you. Tell me more."
HEARD = "I hear that you are having thoughts of suicide"
LINE = "findahelpline.com"
LAST = 8  # the ninth question
DANGER = "Not at all. I want to kill myself"


class Front:
    """The person, the process and Telegram, which stays when the process dies."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.telegram = folder, Playground(TOKEN, 0, dict)
        self.errors = ""

    async def open(self) -> None:
        await self.telegram.start()
        self.process = Process(self.folder, self.telegram, "tests.e2e.telling_bot")
        await self.process.start()
        await agree(self.telegram.world, YOU)

    async def close(self) -> None:
        if self.process.process.returncode is None:
            await self.end(signal.SIGTERM)
        await self.telegram.stop()

    async def end(self, number: int) -> None:
        _, errors = await self.process.end(number)
        self.errors += errors

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)
        await self.process.start()

    def said(self) -> list[str]:
        return replies(self.telegram.world, YOU)

    async def say(self, words: str, expected: str) -> None:
        """Returns when the bot has said once more what begins so."""
        before = self.count(expected)
        self.telegram.world.say(YOU, words)
        await until(lambda: self.count(expected) > before)

    def count(self, beginning: str) -> int:
        return sum(text.startswith(beginning) for text in self.said())

    def press(self, data: str) -> None:
        """Press the newest button whose data begins so."""
        number, carried = self._button(data)
        self.telegram.world.press(YOU, number, carried)

    def has(self, data: str) -> bool:
        return any(self._plain(each).startswith(data) for _, each in self._buttons())

    async def tap(self, item: int, value: int) -> None:
        """Answer a question once it stands there, and wait for the next one, if there is one."""
        here, following = (f"questionnaire:answer:1:{at}:" for at in (item, item + 1))
        await until(lambda: self.has(here))
        self.press(f"{here}{value}")
        await until(lambda: item == LAST or self.has(following))

    def asked(self) -> list[list[str]]:
        """What the model was asked, whole."""
        path = self.folder / ASKED
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def _button(self, data: str) -> tuple[int, str]:
        return next(found for found in self._buttons() if self._plain(found[1]).startswith(data))

    def _buttons(self) -> list[tuple[int, str]]:
        messages: dict[int, dict[str, Any]] = self.telegram.world.chat(YOU).messages
        return [
            (number, str(each["callback_data"]))
            for number in sorted(messages, reverse=True)
            for row in messages[number].get("reply_markup", {}).get("inline_keyboard", [])
            for each in row
        ]

    def _plain(self, carried: str) -> str:
        return carried[: -EXPIRY - SIGNATURE]


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    front = Front(tmp_path)
    await front.open()
    yield front
    await front.close()


async def begin(front: Front) -> None:
    await front.say("/questionnaire", "Two short questionnaires")
    front.press("questionnaire:choose:phq9")
    await until(lambda: front.has("questionnaire:answer:1:0:"))


async def test_danger_in_the_middle_gets_its_fixed_reply_and_then_a_result_is_reached(
    front: Front,
) -> None:
    await front.say("hello", REPLY)
    await begin(front)
    for item in range(4):
        await front.tap(item, 2)
    await front.say(DANGER, HEARD)
    assert any(LINE in text for text in front.said() if text.startswith(HEARD))
    assert front.said()[-1].startswith(HEARD)
    await front.say("/questionnaire PHQ-9", "PHQ-9, question 5 of 9")
    for item in range(4, 9):
        await front.tap(item, 0)
    await until(lambda: front.count("PHQ-9: 8 of 27, mild (5 to 9)\n\nThis is not a diagnosis."))
    assert front.count(HEARD) == 1
    await front.say("I had lunch with my sister.", REPLY)
    model_saw = json.dumps(front.asked())
    assert [turns[-1] for turns in front.asked()] == [
        "hello",
        "I had lunch with my sister.",
    ]
    assert not any(word in model_saw for word in ("PHQ", "of 27", "Several days", "diagnosis."))


async def test_the_ninth_question_above_0_gets_the_reply_of_level_2_and_the_result_can_wait(
    front: Front,
) -> None:
    await front.say("I want to kill myself", HEARD)
    outside = next(text for text in front.said() if text.startswith(HEARD))
    await begin(front)
    for item in range(8):
        await front.tap(item, 0)
    front.press("questionnaire:answer:1:8:1")
    await until(lambda: front.count(HEARD) == 2)
    await until(lambda: front.has("questionnaire:result:1"))
    assert [text for text in front.said() if text.startswith(HEARD)] == [outside, outside]
    assert front.said()[-1] == outside
    front.press("questionnaire:result:1")
    await until(lambda: front.count("PHQ-9: 1 of 27, minimal (0 to 4)"))
    assert front.asked() == []


async def test_a_program_that_is_killed_between_and_under_the_taps_loses_no_answer(
    front: Front,
) -> None:
    rng, given = random.Random(11), [3, 0, 2, 1, 3, 2, 0, 1, 0]
    await begin(front)
    for item, value in enumerate(given):
        here = f"questionnaire:answer:1:{item}:"
        await until(lambda here=here: front.has(here))
        front.press(f"{here}{value}")
        if item % 2 == 0:
            # Now before the tap is on disk, now while it is handled, now after.
            await asyncio.sleep(rng.choice([0, 0.005, 0.02, 0.1, 0.5]))
            await front.kill()
    await until(lambda: front.count("PHQ-9: 12 of 27, moderate (10 to 14)"))
    front.telegram.world.say(YOU, "/export")
    await until(lambda: front.said().count("") >= 2)
    await front.end(signal.SIGTERM)
    exported = [data for name, data in _files(front) if name.endswith(".json")]
    (filled,) = json.loads(exported[0])["questionnaires"]
    assert [each["value"] for each in filled["answers"]["answers"]] == given
    assert (filled["state"], filled["answers"]["score"]) == ("done", sum(given))
    assert front.asked() == []
    for word in ("phq", "PHQ", "moderate", "Several", "questionnaire:", "better off"):
        assert word not in front.errors


def _files(front: Front) -> list[tuple[str, bytes]]:
    return [(found.name, found.data) for found in front.telegram.world.files.values()]
