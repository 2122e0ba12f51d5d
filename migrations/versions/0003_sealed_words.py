"""Words are sealed under a key of their person; each key is wrapped by the master key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 500
NEVER_TWICE = {"sqlite_autoincrement": True}


def upgrade() -> None:
    op.create_table(
        "person_keys",
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("master", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_person_keys")),
    )
    for table, column in (("messages", "text"), ("outbox", "text"), ("inbox", "body")):
        with op.batch_alter_table(table) as batch_op:
            batch_op.add_column(
                sa.Column("sealed", sa.LargeBinary(), nullable=False, server_default="")
            )
        seal_rows(table, column)
        kept = {} if table == "inbox" else NEVER_TWICE
        with op.batch_alter_table(table, table_kwargs=kept) as batch_op:
            batch_op.drop_column(column)
            batch_op.alter_column("sealed", new_column_name=column, server_default=None)


def seal_rows(table: str, column: str) -> None:
    """Seal a column's words to their rows, a few hundred rows at a time."""
    connection = op.get_bind()
    statement = sa.text(f"UPDATE {table} SET sealed = :sealed WHERE {KEYS[table]} = :number")  # noqa: S608
    for rows in batches(table):
        sealed = [
            {"number": r.number, "sealed": seal(table, column, r)} for r in rows if said(table, r)
        ]
        if sealed:
            connection.execute(statement, sealed)


KEYS = {"messages": "id", "outbox": "id", "inbox": "update_id"}
OLD = {
    "messages": "SELECT m.id AS number, m.id AS place, c.person_id AS owner, m.text AS words "
    "FROM messages m JOIN conversations c ON c.id = m.conversation_id",
    "outbox": "SELECT m.id AS number, m.turn || '/' || m.part AS place, c.person_id AS owner, "
    "m.text AS words FROM outbox m JOIN conversations c ON c.id = m.conversation_id",
    "inbox": "SELECT m.update_id AS number, m.update_id AS place, "
    "coalesce(m.person_id, m.chat_id, 0) AS owner, m.body AS words FROM inbox m",
}


def batches(table: str) -> Iterator[list[Any]]:
    """The table's rows, in order of their key."""
    key, last = KEYS[table], -1
    wanted = sa.text(f"{OLD[table]} WHERE m.{key} > :last ORDER BY m.{key} LIMIT {ROWS_AT_ONCE}")
    while rows := list(op.get_bind().execute(wanted, {"last": last})):
        yield rows
        last = rows[-1].number


def said(table: str, row: Any) -> bool:
    """Whether there is anything to seal."""
    return bool(plain(table, row)) and plain(table, row) != "{}"


def plain(table: str, row: Any) -> str:
    """The words; PostgreSQL's driver may give JSON as text or as a value."""
    if table == "inbox" and not isinstance(row.words, str):
        return json.dumps(row.words)
    return str(row.words)


def seal(table: str, column: str, row: Any) -> bytes:
    """What the store handed to the migration seals; format 1 stays readable."""
    words = plain(table, row)
    sealer = context.config.attributes["seal"]
    return bytes(sealer(op.get_bind(), row.owner, (table, column, row.place), words))


def downgrade() -> None:
    raise NotImplementedError("words that are sealed are not laid open again: restore a backup")
