"""The whole bot with a scripted model: real PTB and SQLite over the local Bot API server."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.playground.state import person_id
from bot.safety.gate import SafetyGate
from bot.safety.rules import Finding
from bot.safety.seen import Seen
from bot.safety.types import Assessment, HistoryTurn, Level
from tests.bot.house import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.open()
    yield house
    await house.leave()


async def test_nobody_reaches_the_model_before_consent(house: House) -> None:
    assert "/start" in await house.say("hello")
    assert house.model.asked == []


async def test_a_reply_is_shown_and_remembered(house: House) -> None:
    await house.agree()
    assert await house.say("I am tired") == "I hear you. Tell me more."
    await house.say("still")
    assert [t.text for t in house.model.asked[-1].turns][1:] == [
        "I am tired",
        "I hear you. Tell me more.",
        "still",
    ]


@pytest.mark.parametrize("consented", [True, False])
async def test_danger_gets_the_fixed_reply_and_the_countrys_line(
    house: House, consented: bool
) -> None:
    if consented:
        await house.agree()
        await house.say("/settings country GB")
    reply = await house.say("I want to kill myself tonight")
    assert ("999" if consented else "findahelpline") in reply
    assert house.model.asked == []


DRESSES: list[Callable[[str], str]] = [
    str.upper,
    lambda t: "\u200b".join(t),
    lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t),
    lambda t: "  ".join(t.split()),
    lambda t: f"\u202e{t}\u202c",
    lambda t: t.replace("i", "1").replace("e", "3"),
    lambda t: f"well… {t}!!! 😀",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(DRESSES), st.sampled_from(DRESSES), st.text("abc .\n", max_size=40))
def test_no_unicode_dress_hides_the_wish_to_die_tonight(
    one: Callable[[str], str], two: Callable[[str], str], before: str
) -> None:
    text = f"{before}\n{one(two('I want to kill myself tonight'))}"
    assert not GATE.assess(text).model_may_answer


GATE = SafetyGate()


@pytest.mark.parametrize(
    "text",
    [
        "I feel sad and alone",
        "this homework is killing me",
        "killing it at work lately",
        "My boss shouted at me and I cried",
        "I can't sleep",
    ],
)
def test_ordinary_distress_reaches_the_model(text: str) -> None:
    assert GATE.assess(text).model_may_answer


async def test_stop_ends_the_running_reply(house: House) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "talk to me")
    await house.until(lambda: house.model.asked and house.world.chat("you").draft)
    assert await house.say("/stop") == "I hear you."


async def overtake(house: House, behind: str) -> None:
    """A reply runs, something waits behind it, then danger: its fixed text comes all the same."""
    house.model.free.clear()
    house.world.say("you", "talk to me")
    await house.until(lambda: house.model.asked)
    house.world.say("you", behind)
    house.world.say("you", "I want to kill myself tonight")
    await house.until(lambda: any("emergency" in t for t in house.bot_says()[2:]))
    assert len(house.model.asked) == 1
    house.model.free.set()


async def test_danger_overtakes_a_running_reply(house: House) -> None:
    await house.agree()
    await overtake(house, "and then?")


class LikeGate(SafetyGate):
    """One with the parts of another, which takes seconds to load."""

    def __init__(self, gate: SafetyGate) -> None:
        self.__dict__.update(gate.__dict__)


class WatchedGate(LikeGate):
    """Notes in which thread each message is read for the first time."""

    def __init__(self, gate: SafetyGate) -> None:
        super().__init__(gate)
        self._rules_seen = Seen()
        self.read: list[tuple[str, str]] = []
        self.assessed: list[str] = []
        self.takes_s = 0.0

    def assess(
        self, text: str, history: tuple[HistoryTurn, ...] = (), held: Level = Level.NONE
    ) -> Assessment:
        self.assessed.append(text)
        return super().assess(text, history, held)

    def _ruled(self, text: str) -> tuple[Finding, ...]:
        self.read.append((text, threading.current_thread().name))
        time.sleep(self.takes_s)
        return super()._ruled(text)


async def watched(folder: Path) -> tuple[House, WatchedGate]:
    house = House(folder)
    gate = house.gate = WatchedGate(house.gate)
    await house.open()
    await house.agree()
    await house.settled()  # words that must wait are read as they come, too
    return house, gate


class HastyGate(LikeGate):
    """Takes some words for danger until it has read those before them."""

    def assess(
        self, text: str, history: tuple[HistoryTurn, ...] = (), held: Level = Level.NONE
    ) -> Assessment:
        alone = text == "not yet" and not history
        return super().assess("I want to kill myself" if alone else text, history, held)


async def test_danger_does_not_wait_for_a_reply_to_what_only_seemed_danger(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.gate = HastyGate(house.gate)
    await house.open()
    await house.agree()
    await overtake(house, "not yet")
    await house.leave()


async def test_the_words_of_somebody_who_may_talk_are_read_once(tmp_path: Path) -> None:
    house, gate = await watched(tmp_path)
    await house.say("the only words of this chat")
    await house.leave()
    assert gate.assessed == ["the only words of this chat"]


async def test_the_event_loop_never_waits_for_the_gate(tmp_path: Path) -> None:
    house, gate = await watched(tmp_path)
    await house.say("a message that is alone in its chat")
    house.model.free.clear()
    house.world.say("you", "one that meets nothing")
    await house.until(lambda: len(house.model.asked) == 2)
    house.world.say("you", "and two that meet")
    house.world.say("you", "a running reply")
    await house.until(lambda: any("running reply" in text for text, _ in gate.read))
    house.model.free.set()
    await house.until(lambda: len(house.model.asked) == 4)
    await house.leave()
    assert {"a message that is alone in its chat", "a running reply"} <= {t for t, _ in gate.read}
    assert {thread.rpartition("_")[0] for _, thread in gate.read} == {"gate"}


async def test_who_left_many_messages_behind_keeps_nobody_else_waiting_after_a_start(
    tmp_path: Path,
) -> None:
    house, gate = await watched(tmp_path)
    await house.agree("other")
    house.model.free.clear()
    many = [f"and there is more, number {number}" for number in range(30)]
    for words in many:
        house.world.say("you", words)
    house.world.say("other", "a single message")
    await house.until(lambda: len(house.model.asked) == 2 and len(gate.read) >= len(many) + 1)
    await house.close()
    gate._rules_seen, gate.read, gate.takes_s = Seen(), [], 0.02
    await house.open()
    await house.until(lambda: {*many} <= {text for text, _ in gate.read})
    read = [text for text, _ in gate.read]
    assert read.index("a single message") < read.index(many[-1])
    house.model.free.set()
    await house.leave()


async def test_an_edited_message_is_answered_anew_from_that_point(house: House) -> None:
    await house.agree()
    await house.say("first")
    await house.say("second")
    sent = house.world.chat("you").messages
    first = next(number for number, m in sent.items() if m.get("text") == "first")
    house.world.edit("you", first, "changed")
    await house.until(lambda: len(house.model.asked) == 3)
    assert [t.text for t in house.model.asked[-1].turns][1:] == ["changed"]


async def test_retry_answers_the_last_message_again(house: House) -> None:
    await house.agree()
    await house.say("hello")
    house.model.script = "Another answer."
    assert await house.say("/retry") == "Another answer."
    assert [t.text for t in house.model.asked[-1].turns][1:] == ["hello"]


async def test_new_begins_without_history(house: House) -> None:
    await house.agree()
    await house.say("before")
    await house.say("/new")
    await house.say("after")
    assert [t.text for t in house.model.asked[-1].turns][1:] == ["after"]


async def test_a_failed_reply_is_an_honest_sentence(house: House) -> None:
    await house.agree()
    house.model.fails = True
    assert "out of breath" in await house.say("hello")


@pytest.mark.parametrize("lie", ["I am a human like you.", "Take 20 mg of it.", "Call 0800123456."])
async def test_a_planted_output_is_never_shown(house: House, lie: str) -> None:
    await house.agree()
    house.model.script = f"Well. {lie} Bye."
    reply = await house.say("hello")
    assert lie not in reply
    assert "program" in reply


async def test_only_admins_reload(house: House) -> None:
    await house.agree()
    assert "Only an admin" in await house.say("/reload x")
    assert "no adapter x" in await house.say("/reload x", "admin")
    assert person_id("admin") in house.lanner.services.admins


async def test_history_survives_a_restart(house: House) -> None:
    await house.agree()
    await house.say("before")
    await house.close()
    await house.open()
    await house.say("after")
    assert "before" in [t.text for t in house.model.asked[-1].turns]


async def test_a_message_cut_off_by_a_restart_is_answered_after_it(house: House) -> None:
    await house.agree()
    house.model.free.clear()
    house.world.say("you", "are you there")
    await house.until(lambda: house.model.asked)
    before = len(house.bot_says())
    await house.close()
    house.model.free.set()
    await house.open()
    assert await house.next_after(before) == "I hear you. Tell me more."
    assert len(house.model.asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        "\u202eolleh",
        "\u200b\u200bhi",
        "a\0b",
        "**_[x](y" * 300,
        "<b>&amp;",
        "x" * 4096,
        "😀" * 2048,
    ],
)
async def test_hostile_text_is_answered_like_any_other(house: House, text: str) -> None:
    await house.agree()
    house.model.script = text if text.strip("\u200b\0") else "fine"
    assert await house.say(text)
    assert await house.say("and now?")


async def test_a_long_reply_is_split_and_loses_nothing(house: House) -> None:
    await house.agree()
    house.model.script = "A sentence that is here. " * 400 + "End."
    await house.say("hello")
    await house.until(lambda: house.bot_says()[-1].endswith("End."))
    assert "".join(house.bot_says()[2:]).count("sentence") == 400


async def test_forgetting_erases_and_export_shows_what_is_stored(house: House) -> None:
    await house.agree()
    await house.say("my marker is xyzzy")
    await house.say("/export")
    await house.settled()  # two files
    (_, data), *_ = house.world.files.values()
    assert b"xyzzy" in data
    await house.say("/forget_me")
    await house.press("forget:yes")
    await house.until(lambda: "erased" in house.bot_says()[-1])
    left = b"".join(p.read_bytes() for p in house.folder.iterdir() if p.name != "lanner.db-wal")
    assert b"xyzzy" not in left


async def test_the_page_refuses_other_hosts_and_origins(house: House) -> None:
    url = house.telegram.url
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).status_code == 200
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            assert (await client.get(url, headers=headers)).status_code == 403
