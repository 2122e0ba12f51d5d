"""A crowd, a flood and a kill in front of the real program: the short form of `make crowd`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.playground.state import BOT
from tests.faults.crowd.acts import killed, talk
from tests.faults.crowd.scene import Pace, Scene
from tests.faults.crowd.verdict import wrongs
from tests.faults.crowd.words import SPOKEN

QUICK = Pace(think_s=0.3, words=5, word_s=0.02)
NOTHING_WRONG = {"lost": 0, "doubled": 0, "out of order": 0, "not on disk": 0, "left open": 0}


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_crowd_beside_a_flood_and_over_a_kill_is_answered_once_and_in_order(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, 60, QUICK)
    await scene.open()
    try:
        await talk(scene, 2, 4.0, flood=60)
        opened, _, _ = await killed(scene, 30)
    finally:
        code = await scene.close()
    assert opened
    assert code == 0
    assert await wrongs(scene) == NOTHING_WRONG


async def test_the_verdict_sees_what_was_lost_doubled_or_misplaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path, 2, QUICK)
    first, second, lost = scene.say(0), scene.say(0), scene.say(1)
    chat = scene.telegram.world.chat("person 0")
    for mark in (second, first, first):
        scene.telegram.world.add(chat, BOT, text=SPOKEN + mark)
    assert lost.startswith("t1x")
    assert await wrongs(scene) == {
        "lost": 1, "doubled": 1, "out of order": 1, "not on disk": 3, "left open": 0,
    }  # fmt: skip
