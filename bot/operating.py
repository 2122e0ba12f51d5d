"""What an operator can do while Lanner runs, put together for the composition root.

Builds admission, broadcasts and the copy of the keys from the settings, and
hooks them in. Knows no rule of admission and no command: each has its module.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from telegram import Bot

from bot.admission import AdmissionCheck, Rates
from bot.asking import Hooks
from bot.backups.keys_copy import forgetting
from bot.broadcasting import Broadcasting
from bot.settings import Settings
from bot.store.store import Store


@dataclass(frozen=True, slots=True)
class Operating:
    """The parts."""

    check: AdmissionCheck
    broadcasting: Broadcasting

    @classmethod
    def build(
        cls,
        bot: Bot,
        store: Store,
        settings: Settings,
        admins: Collection[int],
        leads: Callable[[], Awaitable[bool]],
    ) -> Operating:
        """From settings; `leads` says whether this process speaks for all."""
        rates = Rates(settings.lanner_person_rate, settings.lanner_total_rate, time.monotonic)
        mode, allowed = settings.lanner_admission, settings.lanner_allowed
        store.when_forgotten = forgetting(store.sessions, settings.backup_dir)
        return cls(AdmissionCheck(mode, allowed, admins, rates), Broadcasting(store, bot, leads))

    def hook(self, hooks: Hooks) -> None:
        """Refuse before anything else does."""
        hooks.checks.insert(0, self.check)
