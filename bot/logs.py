"""Log lines, and what can never stand in them.

Redaction is by structure, not by hope:

- a line holds the keys of `KEYS` and nothing else, whatever `extra` a record has.
- our own lines: the sentence as it is written in the code with its values;
  of an exception that is not ours only its type. What looks like a token, a
  password in an address or a telephone number is taken out all the same.
- libraries' lines: where they were written and the type of the error, never
  their words: httpx writes addresses with the bot's token, PTB writes updates.
- tracebacks: files, lines and functions; an exception's own text may be a
  person's words and is left out.

Lines are JSON, or words where somebody watches a terminal.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import structlog

from bot.settings import Settings

OURS = ("bot", "model", "training", "migrations", "__main__")
KEYS = frozenset({"event", "level", "logger", "timestamp", "error", "where", "trace"})
QUIET = ("httpx", "httpcore", "apscheduler", "alembic", "uvicorn", "telegram", "sqlalchemy")
LONGEST = 400
_SECRETS = (
    (re.compile(r"\b\d{1,20}:[A-Za-z0-9_-]{10,}"), "[token]"),
    (re.compile(r"(?<=://)[^/\s@]+@"), "[user]@"),
    (re.compile(r"\+\d[\d ().-]{6,}\d"), "[number]"),
)


def configure_logging(settings: Settings) -> None:
    """Once, at the start of the program."""
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.lanner_log_format == "words" or (
        settings.lanner_log_format == "auto" and sys.stderr.isatty()
    ):
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    install(settings.lanner_log_level, renderer)


def install(level: str, renderer: Any, stream: Any = None) -> None:
    """Send every logger's lines through the rules above to `stream`, stderr by default.

    Handlers that a library has given its loggers are taken off: they would write past the rules.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Structured(renderer))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for known in logging.Logger.manager.loggerDict.values():
        if isinstance(known, logging.Logger):
            known.handlers.clear()
            known.propagate = True
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class Structured(logging.Formatter):
    """Builds each line anew from what is allowed in one."""

    def __init__(self, renderer: Any) -> None:
        super().__init__()
        self._chain = [structlog.processors.TimeStamper(fmt="iso", utc=True), renderer]

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record holds."""
        line: Any = {"event": _sentence(record), "level": record.levelname.lower()}
        line["logger"] = record.name
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["trace"] = _frames(record.exc_info)
        if not _ours(record.name):
            line["where"] = f"{record.module}.{record.funcName}:{record.lineno}"
        for process in self._chain:
            line = process(None, record.levelname.lower(), line)
        return str(line)


def _ours(logger: str) -> bool:
    return logger.split(".", 1)[0] in OURS


def _sentence(record: logging.LogRecord) -> str:
    if not _ours(record.name):
        return "A library noted something."
    arguments = record.args
    if isinstance(arguments, tuple):
        arguments = tuple(_value(each) for each in arguments)
    elif arguments:
        arguments = {name: _value(each) for name, each in arguments.items()}
    try:
        said = str(record.msg) % arguments if arguments else str(record.msg)
    except (TypeError, ValueError):
        said = str(record.msg)
    return _clean(said)


def _value(value: Any) -> Any:
    """Numbers as they are; of an exception that is not ours only its type."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, BaseException):
        ours = _ours(type(value).__module__)
        return _clean(str(value)) if ours else type(value).__name__
    return _clean(str(value))


def _clean(text: str) -> str:
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text.replace("\n", " ")[:LONGEST]


def _frames(raised: Any) -> Sequence[str]:
    found = traceback.extract_tb(raised[2])
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in found]
