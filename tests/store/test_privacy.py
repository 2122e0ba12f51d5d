"""Everything can be taken along, and nothing is left of who is forgotten."""

from __future__ import annotations

import asyncio
import json
from datetime import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from bot.privacy import POLICY, Privacy
from bot.store.disclosures import Talked
from bot.store.store import Store
from bot.store.turns import Change, Decision
from tests.store.house import Hands, bytes_in, talk, update

MARKER = "marker-7351"


@pytest.fixture
def privacy(store: Store, clock: Hands) -> Privacy:
    return Privacy(store, clock)


async def live(store: Store, clock: Hands, person: int, marker: str) -> int:
    """A life that leaves something in every table."""
    await store.person(person)
    await store.set_person(person, country="GB", timezone="Europe/London", check_in_at=time(9))
    await store.consent(person, "1")
    number = await talk(store, person, f"{marker} is my secret", "a\0b <script>alert(1)</script>")
    await store.add_message(number, "assistant", f"I heard {marker}", model="demo")
    await store.decide(person, person, Decision(1, 0.5, ["en.rule"], "v1"))
    await store.begin_turn(f"{person}", person, person, lambda _talk, _history: Change())
    await store.generated(f"{person}", [f"reply {marker}", f"more {marker}"])
    first = person % 1000
    await store.receive([update(first, person, f"waiting {marker}")])
    await store.receive([update(first + 1000, person, f"poison {marker}")])
    await store.quarantine_update(first + 1000, "ValueError")
    check_in = await store.claim_check_in(person, clock.now.date(), clock.now)
    assert check_in is not None
    await store.end_check_in(check_in, "sent")
    await store.record_action(person, "ban", subject_id=person)
    assert await store.redeem(await store.invite(1, 7), person)
    await store.owe_follow_up(person, person, 2, 0, clock.now)
    await store.allow_hand_over(person, allowed=True)
    sitting = await store.begin_sitting(person, {"instrument": marker})
    await store.keep_answers(person, sitting, filled_in(marker), done=True)
    await store.begin_sitting(person, {"instrument": marker})
    await store.note_talk(person, lambda _known: Talked(clock.now, clock.now, 60))
    return number


def filled_in(marker: str) -> dict[str, Any]:
    answers = [{"value": value, "update": 1, "message": 0} for value in (3, 0, 2)]
    return {"instrument": marker, "answers": answers, "score": 5, "most": 9, "band": "mild"}


async def ids_left(store: Store, person: int) -> list[str]:
    """Columns of any table in which the id still stands."""
    async with store._sessions.read() as session:
        connection = await session.connection()
        tables: dict[str, list[str]] = await connection.run_sync(
            lambda c: {t: [x["name"] for x in inspect(c).get_columns(t)]
                       for t in inspect(c).get_table_names()}
        )  # fmt: skip
        found = []
        for table, columns in tables.items():
            for column in columns:
                same = f'CAST("{column}" AS TEXT) = :id'
                query = text(f'SELECT count(*) FROM "{table}" WHERE {same}')  # noqa: S608
                if await session.scalar(query, {"id": str(person)}):
                    found.append(f"{table}.{column}")
        return found


async def test_nothing_of_a_forgotten_person_is_left_in_any_byte(
    store: Store, clock: Hands, privacy: Privacy, tmp_path: Path
) -> None:
    person = 90210417
    await live(store, clock, person, MARKER)
    kept = await live(store, clock, 2, "somebody else")
    async with store.sessions.read() as session:
        sealed = list(await session.scalars(text("SELECT text FROM messages WHERE role = 'user'")))
    assert all(each in bytes_in(tmp_path) for each in sealed)
    assert len(await ids_left(store, person)) > 5
    assert MARKER.encode() not in bytes_in(tmp_path)
    assert await privacy.forget_me(person)
    assert MARKER.encode() not in bytes_in(tmp_path)
    assert [each in bytes_in(tmp_path) for each in sealed] == [False, False, True, True]
    assert await ids_left(store, person) == []
    assert len(await store.history(kept)) == 3
    assert (await store.has_consented(2, "1")) is True
    assert await store.open_updates() == [update(2, 2, "waiting somebody else")]


async def test_a_forgotten_update_that_telegram_repeats_is_not_stored_again(
    store: Store, clock: Hands, privacy: Privacy
) -> None:
    await live(store, clock, 1, MARKER)
    await privacy.forget_me(1)
    assert await store.receive([update(1, 1, f"waiting {MARKER}")]) == []


async def test_forgetting_works_while_others_write(
    store: Store, clock: Hands, privacy: Privacy, tmp_path: Path
) -> None:
    await live(store, clock, 1, MARKER)
    other = await talk(store, 2)
    writers = [store.add_message(other, "user", f"words {n}") for n in range(40)]
    done = await asyncio.gather(privacy.forget_me(1), *writers)
    assert done[0] is True
    assert len(await store.history(other)) == 40
    assert MARKER.encode() not in bytes_in(tmp_path)


async def test_a_reader_in_the_way_is_told_and_the_next_compaction_ends_it(
    store: Store, clock: Hands, privacy: Privacy, tmp_path: Path
) -> None:
    await live(store, clock, 1, MARKER)
    async with store._sessions.read() as session:
        await session.scalar(text("SELECT count(*) FROM messages"))
        assert await privacy.forget_me(1) is False
    assert await store.compact() is True
    assert MARKER.encode() not in bytes_in(tmp_path)


async def test_forgetting_somebody_unknown_changes_nothing(privacy: Privacy) -> None:
    assert await privacy.forget_me(404)


async def test_the_export_holds_every_row_about_the_person_and_nobody_elses(
    store: Store, clock: Hands, privacy: Privacy
) -> None:
    await live(store, clock, 1, MARKER)
    await live(store, clock, 2, "somebody else")
    data = json.loads((await privacy.export(1)).data)
    assert "somebody else" not in json.dumps(data)
    assert [m["text"] for m in data["conversations"][0]["messages"]] == [
        f"{MARKER} is my secret",
        "a\0b <script>alert(1)</script>",
        f"I heard {MARKER}",
    ]
    done, under_way = data["questionnaires"]
    assert (done["state"], done["answers"]) == ("done", filled_in(MARKER))
    assert (under_way["state"], under_way["answers"]) == ("open", {"instrument": MARKER})
    assert data["person"]["country"] == "GB"
    assert data["person"]["check_in_at"] == "09:00:00"
    sizes = {name: len(rows) for name, rows in data.items() if isinstance(rows, list)}
    assert sizes == {
        "consents": 1,
        "conversations": 1,
        "safety_decisions": 1,
        "risks_held": 1,
        "check_ins": 1,
        "admitted": 1,
        "follow_ups": 1,
        "hand_over": 1,
        "told_what_i_am": 1,
        "questionnaires": 2,
        "replies_under_way": 2,
        "updates_not_finished": 2,
        "admin_actions": 1,
    }


class Reader(HTMLParser):
    """Collects tags, addresses and text as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[Any] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "onload")]

    def handle_data(self, data: str) -> None:
        self.words += data


async def test_the_page_can_be_read_without_a_network_and_runs_nothing(
    store: Store, clock: Hands, privacy: Privacy
) -> None:
    number = await live(store, clock, 1, MARKER)
    hostile = '"><img src=x onerror=alert(1)>\u202e</div></html><a href="javascript:x">'
    await store.add_message(number, "user", hostile)
    page = (await privacy.export(1)).page.decode("utf-8")
    read = Reader(page)
    assert not read.tags & {"script", "img", "a", "link", "iframe", "form"}
    assert read.addresses == []
    assert "default-src" in POLICY
    assert POLICY.replace("'", "&#x27;") in page
    for said in (MARKER, hostile, "<script>alert(1)</script>", "GB", "en.rule", "3, 0, 2", "mild"):
        assert said in read.words


async def test_broken_characters_do_not_stop_an_export(store: Store, privacy: Privacy) -> None:
    await store.person(1)
    await store.receive([update(1, 1, "\ud800 lone")])
    export = await privacy.export(1)
    assert "lone" in export.data.decode("utf-8")
    assert "lone" in export.page.decode("utf-8")


async def test_somebody_unknown_gets_an_empty_export(privacy: Privacy) -> None:
    export = await privacy.export(404)
    assert json.loads(export.data)["person"] is None
    assert "None." in export.page.decode()
