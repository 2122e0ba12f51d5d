"""Who may talk: bans, invites and switches. Keeps keyed hashes where an id or code would do harm.

A ban outlives the erasure of its person without naming them. Knows nothing of
messages or of how a refusal is said.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import BigInteger, bindparam, delete, exists, or_, select, update

from bot.store.base import UtcDateTime
from bot.store.care_tables import HandOver
from bot.store.keyring import HOUSE
from bot.store.part import Part
from bot.store.tables import Admitted, Ban, Consent, Invite, Sitting, Switch, UsedButton
from bot.store.upsert import insert_into, new_rows


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands: read at one moment, before they are answered.

    `operator` writes to them instead of the program. `sitting`: a questionnaire is open.
    """

    consented: bool
    banned: bool
    admitted: bool
    maintenance: bool
    operator: int | None
    sitting: bool


MAINTENANCE = "maintenance"  # the switch
_PERSON = bindparam("person", type_=BigInteger)
_BARRED = or_(Ban.until.is_(None), Ban.until > bindparam("now", type_=UtcDateTime))
# Made once: each message asks it.
_STANDING = select(
    exists().where(Consent.person_id == _PERSON, Consent.text_version == bindparam("version")),
    exists().where(Ban.tag == bindparam("tag"), _BARRED),
    exists().where(Admitted.person_id == _PERSON),
    exists().where(Switch.name == MAINTENANCE, Switch.value == "on"),
    select(HandOver.operator_id).where(HandOver.person_id == _PERSON).scalar_subquery(),
    exists().where(Sitting.person_id == _PERSON, Sitting.state == "open"),
)


class Admission(Part):
    """Bans, invites, switches, and buttons that may be pressed once."""

    async def secret(self, purpose: str) -> bytes:
        """32 bytes for one purpose, the same in every process and after every restart."""
        known = self._keys.derived.get(purpose)
        if known is None:
            async with self._sessions.write() as session:
                key = await self._keys.make_one(session, HOUSE)
            known = HKDF(SHA256(), 32, None, purpose.encode()).derive(key.secret)
            self._keys.derived[purpose] = known
        return known

    async def ban(self, person_id: int, until: datetime | None = None) -> None:
        """Bar somebody from talking, for ever or `until` then."""
        tag = await self._tag("ban", str(person_id))
        async with self._sessions.write() as session:
            made = insert_into(session, Ban).values(tag=tag, until=until, created=self._clock())
            changed = made.on_conflict_do_update(index_elements=["tag"], set_={"until": until})
            await session.execute(changed)

    async def unban(self, person_id: int) -> bool:
        """Let them talk again; False when they were not banned."""
        tag = await self._tag("ban", str(person_id))
        async with self._sessions.write() as session:
            gone = await session.scalars(delete(Ban).where(Ban.tag == tag).returning(Ban.tag))
            return bool(list(gone))

    async def standing(self, person_id: int, version: str) -> Standing:
        """All that decides who answers this person, and whether; `version` of the consent."""
        asked = {
            "person": person_id,
            "version": version,
            "tag": await self._tag("ban", str(person_id)),
            "now": self._clock(),
        }
        async with self._sessions.light_read() as connection:
            return Standing(*(await connection.execute(_STANDING, asked)).one())

    async def invite(self, uses: int, days: int) -> str:
        """A new code, which is told once and kept as a hash."""
        code, now = secrets.token_urlsafe(9), self._clock()
        tag = await self._tag("invite", code)
        async with self._sessions.write() as session:
            expires = now + timedelta(days=days)
            session.add(Invite(tag=tag, uses_left=uses, expires=expires, created=now))
        return code

    async def redeem(self, code: str, person_id: int) -> bool:
        """Let the person in if the code is good; a use is taken once for each person."""
        tag, now = await self._tag("invite", code), self._clock()
        async with self._sessions.write() as session:
            good = (Invite.tag == tag, Invite.uses_left > 0, Invite.expires > now)
            if await session.scalar(select(Invite).where(*good).with_for_update()) is None:
                return False
            made = new_rows(session, Admitted).values(person_id=person_id, created=now)
            fresh = await session.scalar(made.returning(Admitted.person_id))
            if fresh is not None:
                taken = update(Invite).where(Invite.tag == tag)
                await session.execute(taken.values(uses_left=Invite.uses_left - 1))
            return True

    async def switch(self, name: str, value: str) -> None:
        """Turn something on or off for all processes."""
        row = {"name": name, "value": value, "changed": self._clock()}
        async with self._sessions.write() as session:
            made = insert_into(session, Switch).values(**row)
            await session.execute(made.on_conflict_do_update(index_elements=["name"], set_=row))

    async def switched(self, name: str) -> str:
        """How something stands; empty when nobody touched it."""
        async with self._sessions.read() as session:
            found = await session.get(Switch, name)
            return found.value if found else ""

    async def use_button(self, nonce: str, update_id: int, expires: datetime) -> bool:
        """Whether this press is the first of its button; the same update may ask again."""
        async with self._sessions.write() as session:
            row = {"nonce": nonce, "update_id": update_id, "expires": expires}
            await session.execute(new_rows(session, UsedButton).values(**row))
            used = await session.get(UsedButton, nonce)
            return used is not None and used.update_id == update_id

    async def _tag(self, kind: str, value: str) -> str:
        secret = await self.secret(f"lanner {kind}")
        return hmac.new(secret, value.encode("utf-8", "replace"), sha256).hexdigest()
