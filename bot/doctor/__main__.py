"""`python -m bot.doctor`: tests each part of a service and says how to mend it.

Exit code 0 when nothing keeps the service from working, else 1. Changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from bot.doctor import database, machine, model, telegram
from bot.doctor.findings import Finding, ill
from bot.settings import Settings, SettingsError, read_settings

MARKS = {"well": "✓", "note": "•", "ill": "✕"}


def examine(settings: Settings) -> Iterator[Finding]:
    """Each part in turn, the quick ones first."""
    yield machine.python()
    yield machine.disk(settings.lanner_data_dir)
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        yield database.sqlite_file(Path(url.database).resolve())
    yield machine.port(settings.lanner_playground_port, "LANNER_PLAYGROUND_PORT")
    yield model.adapter(settings.adapters_dir, settings.lanner_adapter)
    yield model.gpu()
    token = settings.telegram_bot_token
    yield from telegram.telegram(token.get_secret_value() if token else None)


def main() -> int:
    """Print the findings as they come; returns the exit code."""
    try:
        settings = read_settings()
    except SettingsError as error:
        return _show([ill("settings", str(error), "See .env.example for every option.")])
    return _show(examine(settings))


def _show(findings: Iterator[Finding] | list[Finding]) -> int:
    sick = 0
    for found in findings:
        sick += found.state == "ill"
        print(f"{MARKS[found.state]} {found.part:<9} {found.sentence}", flush=True)
        if found.mend:
            print(f"  {'':<9} → {found.mend}", flush=True)
    print("Nothing keeps Lanner from working." if not sick else f"To mend first: {sick}.")
    return 1 if sick else 0


if __name__ == "__main__":
    sys.exit(main())
