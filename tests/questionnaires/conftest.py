"""The house of the bot's tests, and the store's clock and file."""

from __future__ import annotations

from tests.bot.conftest import house as house
from tests.store.conftest import clock as clock
from tests.store.conftest import store as store
