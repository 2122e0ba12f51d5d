"""Whose a row is: the person whose key seals it in a backup. Knows tables; knows no file."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Table, func, literal, select

from bot.store.base import Base
from bot.store.keyring import HOUSE
from bot.store.tables import AdminAction, Conversation, InboxChat, InboxUpdate, Person, PersonKey

# In the order in which rows may be inserted. Keys are kept apart: see bot.backups.keys_copy.
TABLES = [each for each in Base.metadata.sorted_tables if each.name != PersonKey.__tablename__]


def rows_with_owner(table: Table) -> Select[Any]:
    """All rows in the order of their key, their owner last."""
    owner = _owner(table)
    columns = table.columns
    if owner is None:
        talks = Conversation.__table__.alias("whose")
        found = select(*columns, talks.c.person_id.label("owner_")).join(
            talks, talks.c.id == columns.conversation_id
        )
    else:
        found = select(*columns, owner.label("owner_"))
    return found.order_by(*table.primary_key.columns)


def _owner(table: Table) -> Any:
    """The column that names the owner; None where the row's conversation does."""
    columns = table.columns
    special: dict[str, Any] = {
        Person.__tablename__: func.coalesce(columns.get("id"), HOUSE),
        InboxUpdate.__tablename__: func.coalesce(
            columns.get("person_id"), columns.get("chat_id"), HOUSE
        ),
        InboxChat.__tablename__: columns.get("chat_id"),
        AdminAction.__tablename__: func.coalesce(
            columns.get("subject_id"), columns.get("admin_id"), HOUSE
        ),
    }
    if table.name in special:
        return special[table.name]
    if "person_id" in columns:
        return columns.person_id
    if "conversation_id" in columns:
        return None
    return literal(HOUSE)
