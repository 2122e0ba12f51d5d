"""What the application asks of the database, one short transaction each.

    People          person, known_person, set_person, consent, has_consented
    Conversations   conversation, epoch, bump_epoch
    Risks           set_risk
    Talks           talks, reopen, rename, delete_talk
    Messages        history, newest_message, add_message, mark_sent
    Turns           begin_turn, decide
    Inbox           receive, open_updates, begin_update, begin_unsuspected, park_update,
                    finish_update, quarantine_update, quarantined, quarantined_count
    Claims          claim_updates, free_the_dead, backlog
    Outbox          place, generated, sent, turn_parts, is_placeholder, unsent
    Records         record_action, actions
    CheckIns        people_to_check_in, claim_check_in, end_check_in
    Admission       ban, unban, standing, invite, redeem, switch, switched, use_button
    Broadcasts      begin_broadcast, open_broadcast, next_recipients, reached, end_broadcast
    FollowUps       owe_follow_up, claim_follow_ups, end_follow_up, quiet_follow_ups
    HandOvers       hand_over, allow_hand_over, take_over, give_back, operator_of, person_of
    Disclosures     note_talk
    Questionnaires  begin_sitting, newest_sitting, sitting, keep_answers, drop_sitting,
                    done_sittings
    Erasure         export, forget, retain, housekeeping, compact

Knows tables and times; knows nothing of Telegram's objects, the model or what
a level of risk means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from bot.clock import Clock
from bot.sealing.master import MasterSource
from bot.store.admission import Admission
from bot.store.broadcasts import Broadcasts
from bot.store.check_ins import CheckIns
from bot.store.claims import Claims
from bot.store.conversations import Conversations
from bot.store.database import open_database
from bot.store.disclosures import Disclosures
from bot.store.erasure import Erasure
from bot.store.follow_ups import FollowUps
from bot.store.hand_overs import HandOvers
from bot.store.messages import Messages
from bot.store.outbox import Outbox
from bot.store.people import People
from bot.store.questionnaires import Questionnaires
from bot.store.records import Records
from bot.store.risks import Risks
from bot.store.sessions import Sessions
from bot.store.talks import Talks
from bot.store.turns import Turns


class Store(
    People, Conversations, Risks, Talks, Messages, Turns, Claims, Outbox, Records, CheckIns,
    FollowUps, HandOvers, Disclosures, Questionnaires, Admission, Broadcasts, Erasure,
):  # fmt: skip
    """Everything that is kept. No session is open when a method has returned."""

    @classmethod
    async def open(
        cls, url: str, data_dir: Path, clock: Clock, source: MasterSource | None = None
    ) -> Self:
        """The store of a database, migrated; raises StoreError with one sentence."""
        return cls(await open_database(url, data_dir, source), clock)

    @property
    def sessions(self) -> Sessions:
        """For the operator's commands that work on the whole database."""
        return self._sessions

    async def close(self) -> None:
        """Finish what was begun, and give the connections back."""
        await self._settle()
        await self._sessions.close()
