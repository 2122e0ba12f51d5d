"""Where log lines go and what never stands in them: the token in an address, a person's words."""

from __future__ import annotations

import logging
import re

from bot.settings import Settings

# Libraries that write addresses with the token, or updates with people's words, at INFO.
QUIET = ("httpx", "httpcore", "apscheduler", "alembic", "uvicorn", "telegram")
_TOKEN = re.compile(r"\b\d{1,20}:[A-Za-z0-9_-]{10,}")


class Redact(logging.Filter):
    """Takes tokens out of a line; drops tracebacks, whose frames may quote a message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; never drops it."""
        record.msg, record.args = _TOKEN.sub("[token]", record.getMessage()), None
        if record.exc_info:
            kind = record.exc_info[0]
            record.msg += f" ({kind.__name__})" if kind else ""
            record.exc_info = record.exc_text = None
        return True


def configure_logging(settings: Settings) -> None:
    """Once, at the start of the program."""
    logging.basicConfig(level=settings.lanner_log_level, format="%(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(Redact())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # PTB logs whole updates when it cannot parse them.
    logging.getLogger("telegram").setLevel(logging.CRITICAL)
