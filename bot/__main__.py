"""`python -m bot`: start, signals, exit codes. 0 stopped, 1 cannot start."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from telegram.error import InvalidToken, TelegramError

from bot.app import Lanner
from bot.loading import model_for
from bot.settings import Settings, SettingsError, read_settings
from bot.store.database import StoreError


async def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    lanner = Lanner(settings, model_for(settings))
    await lanner.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if lanner.playground:
        print("There is no TELEGRAM_BOT_TOKEN, so this is a demo in your browser.")
        print(f"Chat with Lanner at {lanner.playground.url}", flush=True)
    else:
        print("Lanner talks on Telegram.", flush=True)
    running, waiting = asyncio.create_task(lanner.run()), asyncio.create_task(ended.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    failure = running.exception() if running.done() else None
    running.cancel()
    waiting.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    await lanner.stop()
    if failure:
        raise failure


def entry() -> int:
    """The program; returns its exit code."""
    try:
        settings = read_settings()
        logging.basicConfig(level=settings.lanner_log_level, format="%(levelname)s %(message)s")
        # httpx writes the bot's token into its log lines, apscheduler noise.
        for name in ("httpx", "httpcore", "apscheduler", "alembic", "uvicorn"):
            logging.getLogger(name).setLevel(logging.WARNING)
        asyncio.run(main(settings))
    except (SettingsError, StoreError) as error:
        print(error, file=sys.stderr)
    except InvalidToken:
        print("Telegram does not know TELEGRAM_BOT_TOKEN: copy it again from @BotFather.",
              file=sys.stderr)  # fmt: skip
    except TelegramError as error:
        print(f"Telegram cannot be reached ({type(error).__name__}): check the network.",
              file=sys.stderr)  # fmt: skip
    except OSError as error:
        print(f"The page's port cannot be opened ({error.strerror}): set LANNER_PLAYGROUND_PORT.",
              file=sys.stderr)  # fmt: skip
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(entry())
