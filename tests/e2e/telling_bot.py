"""`python -m tests.e2e.telling_bot`: the real program; its model writes down what it is asked."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from bot.__main__ import entry
from bot.settings import read_settings
from model.types import Event, Request
from tests.bot.fakes import ScriptedModel

ASKED = "asked.jsonl"


class TellingModel(ScriptedModel):
    """One line for each request, on disk before the model says a word."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        with (self.folder / ASKED).open("a", encoding="utf-8") as file:
            file.write(json.dumps([turn.text for turn in request.turns]) + "\n")
        async for event in super().submit(request):
            yield event


if __name__ == "__main__":
    settings = read_settings()
    sys.exit(entry(settings, TellingModel(settings.lanner_data_dir)))
