"""`python -m bot.keys rotate | retire | new`: the master key's care.

rotate  makes a new master key and wraps every person's key anew; the old key
        stays in the file as a second line until it is retired
retire  takes keys out of the file that no longer wrap anything
new     prints a fresh key, for LANNER_MASTER_KEY

With LANNER_MASTER_KEY, put the new key before the old with a comma between
and rotate; then take the old one out. Rotation may run while Lanner runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from bot.clock import system_clock
from bot.sealing.master import Master, MasterKeyError, encode, name_of
from bot.sealing.sealed import Unreadable, new_key
from bot.settings import Settings, SettingsError, read_settings
from bot.store.database import StoreError
from bot.store.sessions import Sessions
from bot.store.store import Store
from bot.store.tables import PersonKey


async def rotate(settings: Settings) -> str:
    """Wrap every key under a new master key; returns what to say."""
    source = settings.master_key
    store = await _open(settings)
    try:
        if source.text is None:
            source.store([new_key(), *source.keys()])
        master = source.load(create=False)
        count = await rewrap(store.sessions, master)
    finally:
        await store.close()
    said = f"{count} keys are wrapped under the master key {master.newest}."
    if source.text is None:
        return f"{said} Keep a copy of {source.path}; then run `python -m bot.keys retire`."
    return f"{said} Now LANNER_MASTER_KEY may hold its first key alone."


async def rewrap(sessions: Sessions, master: Master) -> int:
    """Wrap all keys anew in one transaction; returns how many."""
    async with sessions.write() as session:
        rows = list(await session.scalars(select(PersonKey).with_for_update()))
        for row in rows:
            secret = master.unwrap(row.master, row.wrapped, row.person_id)
            row.wrapped, row.master = master.wrap(secret, row.person_id), master.newest
    await sessions.vacuum()
    await sessions.checkpoint()
    return len(rows)


async def retire(settings: Settings) -> str:
    """Take master keys out of the file that wrap nothing; returns what to say."""
    source = settings.master_key
    if source.text is not None:
        return "The master key is in LANNER_MASTER_KEY: take the old ones out there."
    store = await _open(settings)
    try:
        async with store.sessions.read() as session:
            used = set(await session.scalars(select(PersonKey.master).distinct()))
    finally:
        await store.close()
    first, *older = source.keys()
    kept = [first, *(key for key in older if name_of(key) in used)]
    source.store(kept)
    return f"{1 + len(older) - len(kept)} old master keys were retired, {len(kept)} kept."


async def _open(settings: Settings) -> Store:
    url, folder = settings.database_url, settings.lanner_data_dir
    return await Store.open(url, folder, system_clock, settings.master_key)


def main(arguments: Sequence[str]) -> int:
    """The command; 1 with one sentence when it cannot be done."""
    parser = argparse.ArgumentParser("python -m bot.keys", description="The master key's care.")
    parser.add_argument("what", choices=["rotate", "retire", "new"])
    what = parser.parse_args(arguments).what
    if what == "new":
        print(encode(new_key()))
        return 0
    commands: dict[str, Any] = {"rotate": rotate, "retire": retire}
    try:
        print(asyncio.run(commands[what](read_settings())))
    except (SettingsError, StoreError, MasterKeyError) as error:
        print(error, file=sys.stderr)
        return 1
    except Unreadable:
        print("A person's key does not open with any master key given: put the right one back.",
              file=sys.stderr)  # fmt: skip
        return 1
    except OSError as error:
        print(f"The master key cannot be written ({error.strerror}): check the disk.",
              file=sys.stderr)  # fmt: skip
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
