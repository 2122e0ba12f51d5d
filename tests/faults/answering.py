"""A process that takes updates from the inbox and answers each once, until it is killed.

It stands for the bot: the same claims, the same store, the same order of steps.
An answer is a message in the chat's conversation; before it is written the
process looks whether it stands there already, as a turn does after a crash.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bot.clock import system_clock
from bot.store.presence import Presence
from bot.store.store import Store


def answer_forever(url: str, folder: str) -> None:
    """What the process runs."""
    asyncio.run(_answer(url, Path(folder)))


async def _answer(url: str, folder: Path) -> None:
    store = await Store.open(url, folder, system_clock)
    presence = Presence(store.sessions)
    await presence.enter()
    while True:
        await store.free_the_dead(presence.number)
        taken = await store.claim_updates(presence.number, 3)
        chats: dict[int, list[int]] = {}
        for body in taken:
            chats.setdefault(body["message"]["chat"]["id"], []).append(body["update_id"])
        await asyncio.gather(*(_turns(store, c, n, presence.number) for c, n in chats.items()))
        await asyncio.sleep(0.005)


async def _turns(store: Store, chat: int, numbers: Iterable[int], process: int) -> None:
    talk = await store.conversation(chat, chat)
    answered = {m.text for m in await store.history(talk.id)}
    for number in numbers:
        await store.begin_update(number)
        if str(number) not in answered:
            await store.add_message(talk.id, "assistant", str(number), telegram_id=process)
        await store.finish_update(number)


async def feed(store: Store, rng: random.Random, numbers: Iterable[int], chats: int) -> None:
    """Receive updates in batches, some of them twice as Telegram does after a lost answer."""
    waiting = list(numbers)
    while waiting:
        batch = [_update(number, number % chats + 1) for number in waiting[: rng.randrange(1, 40)]]
        waiting = waiting[len(batch) :]
        await store.receive(batch)
        if rng.random() < 0.2:
            await store.receive(batch)


def _update(number: int, chat: int) -> dict[str, Any]:
    who = {"id": chat, "first_name": "Ada"}
    return {"update_id": number, "message": {"message_id": number, "chat": who, "from": who}}


async def finished(store: Store, within_s: float) -> None:
    """Wait until nothing is open."""
    async with asyncio.timeout(within_s):
        while await store.backlog():
            await asyncio.sleep(0.05)


async def judge(store: Store, sent: int, chats: int) -> tuple[dict[str, int], int]:
    """Counts of what was lost, doubled and out of order; and how many processes answered."""
    found: Counter[int] = Counter()
    disorder, hands = 0, set()
    for chat in range(1, chats + 1):
        history = await store.history((await store.conversation(chat, chat)).id)
        numbers = [int(m.text) for m in history]
        disorder += sum(a >= b for a, b in itertools.pairwise(numbers))
        found.update(numbers)
        hands |= {m.telegram_id for m in history}
    lost = sent - len(found)
    doubled = sum(found.values()) - len(found)
    return {"lost": lost, "doubled": doubled, "out of order": disorder}, len(hands)
