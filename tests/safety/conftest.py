"""The house of the bot's tests, for what must hold from Telegram to Telegram."""

from __future__ import annotations

from tests.bot.conftest import house as house
