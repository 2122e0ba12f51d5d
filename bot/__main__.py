"""`python -m bot`: start, signals, exit codes.

0   stopped on request
1   cannot start; the sentence on stderr says what to do
75  the model's device has died: start again, and open turns are taken up
"""

from __future__ import annotations

import gc

gc.disable()  # importing makes what stays: to look at it again and again took half a second

import asyncio
import logging
import os
import signal
import sys
from typing import NoReturn

from telegram.error import InvalidToken, TelegramError

from bot.app import DeviceDead, Lanner
from bot.loading import model_for
from bot.lock import AlreadyRunning
from bot.logs import configure_logging
from bot.loop import run
from bot.settings import Settings, SettingsError, read_settings
from bot.store.database import StoreError
from model.types import Model

AGAIN = 75


async def main(settings: Settings, model: Model) -> None:
    """Run until SIGTERM or SIGINT."""
    lanner = Lanner(settings, model)
    await lanner.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    print(_greeting(lanner), flush=True)
    running, waiting = asyncio.create_task(lanner.run()), asyncio.create_task(ended.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    failure = running.exception() if running.done() else None
    running.cancel()
    waiting.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    await lanner.stop()
    if failure:
        raise failure


def entry(settings: Settings, model: Model) -> int:
    """The program; returns its exit code."""
    try:
        run(main(settings, model))
    except DeviceDead:
        return AGAIN
    except (StoreError, AlreadyRunning) as error:
        return _refuse(str(error))
    except InvalidToken:
        return _refuse("Telegram does not know TELEGRAM_BOT_TOKEN: copy it again from @BotFather.")
    except TelegramError as error:
        return _refuse(f"Telegram refused ({type(error).__name__}): check the network.")
    except OSError as error:
        return _refuse(
            f"A port or a file cannot be opened ({error.strerror}): set LANNER_PLAYGROUND_PORT or "
            "LANNER_WEBHOOK_PORT, and check LANNER_DATA_DIR."
        )
    return 0


def _greeting(lanner: Lanner) -> str:
    if lanner.playground is None:
        return f"Lanner talks on Telegram. For its operator: {lanner.dashboard.url}"
    return (
        "There is no TELEGRAM_BOT_TOKEN, so this is a demo in your browser.\n"
        f"Chat with Lanner at {lanner.playground.url}"
    )


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


def _start() -> int:
    try:
        settings = read_settings()
    except SettingsError as error:
        return _refuse(str(error))
    configure_logging(settings)
    return entry(settings, model_for(settings))


def _leave(code: int) -> NoReturn:
    # All is stopped and stored. A model that is still being loaded is deep in native code, and
    # ending Python under it would abort the process.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(_start())
