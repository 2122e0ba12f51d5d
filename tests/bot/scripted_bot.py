"""`python -m tests.bot.scripted_bot`: the real program with a scripted model, to be killed."""

from __future__ import annotations

import sys

from bot.__main__ import entry
from bot.settings import read_settings
from tests.bot.fakes import ScriptedModel

if __name__ == "__main__":
    sys.exit(entry(read_settings(), ScriptedModel("You said something. I heard it.")))
