"""Outbox, check-ins, the admins' record, and more settings of a person.

Ids of conversations and messages are never given twice from here on.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEVER_TWICE = {"sqlite_autoincrement": True}

# Where an update that waits carries its chat and its sender.
CHATS = ("message.chat", "edited_message.chat", "callback_query.message.chat")
SENDERS = ("message.from", "edited_message.from", "callback_query.from")


def upgrade() -> None:
    op.create_table(
        "admin_audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("admin_id", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_audit")),
    )
    op.create_table(
        "check_ins",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("due", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["persons.id"],
            name=op.f("fk_check_ins_person_id_persons"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_ins")),
        sa.UniqueConstraint("person_id", "local_date", name=op.f("uq_check_ins_person_id")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("turn", sa.String(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sa.Integer(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("placeholder_id", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_outbox_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("turn", "part", name=op.f("uq_outbox_turn")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.create_index(
            batch_op.f("ix_outbox_conversation_id"), ["conversation_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_outbox_state"), ["state"], unique=False)

    # SQLite gives a freed id again unless the table is made anew; PostgreSQL's sequences do not.
    anew: Any = {"table_kwargs": NEVER_TWICE} | (
        {"recreate": "always"} if op.get_bind().dialect.name == "sqlite" else {}
    )
    with op.batch_alter_table("conversations", **anew) as batch_op:
        batch_op.add_column(sa.Column("epoch", sa.Integer(), server_default="0", nullable=False))

    with op.batch_alter_table("inbox") as batch_op:
        batch_op.add_column(sa.Column("chat_id", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("person_id", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("state", sa.String(), server_default="open", nullable=False))
        batch_op.add_column(sa.Column("error", sa.String(), nullable=True))
        batch_op.create_index(batch_op.f("ix_inbox_chat_id"), ["chat_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_inbox_person_id"), ["person_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_inbox_state"), ["state"], unique=False)

    with op.batch_alter_table("messages", **anew) as batch_op:
        batch_op.add_column(sa.Column("adapter_sha256", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("queued_s", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("stopped", sa.Boolean(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("epoch", sa.Integer(), server_default="0", nullable=False))

    with op.batch_alter_table("persons") as batch_op:
        batch_op.add_column(sa.Column("timezone", sa.String(), nullable=True))
        batch_op.add_column(
            sa.Column("streaming", sa.String(), server_default="draft", nullable=False)
        )
        batch_op.add_column(sa.Column("check_in_at", sa.Time(), nullable=True))
        batch_op.add_column(sa.Column("check_in_since", sa.DateTime(), nullable=True))
    op.execute(f"UPDATE inbox SET chat_id = {first_of(CHATS)}, person_id = {first_of(SENDERS)}")  # noqa: S608


def first_of(places: tuple[str, ...]) -> str:
    """The first id that the update holds in one of these places."""
    if op.get_bind().dialect.name == "sqlite":
        found = [f"json_extract(body, '$.{place}.id')" for place in places]
    else:
        paths = [f"{place}.id".replace(".", ",") for place in places]
        found = [f"(body #>> '{{{path}}}')::bigint" for path in paths]
    return f"coalesce({', '.join(found)})"


def downgrade() -> None:
    with op.batch_alter_table("persons") as batch_op:
        batch_op.drop_column("check_in_since")
        batch_op.drop_column("check_in_at")
        batch_op.drop_column("streaming")
        batch_op.drop_column("timezone")

    with op.batch_alter_table("messages") as batch_op:
        batch_op.drop_column("epoch")
        batch_op.drop_column("stopped")
        batch_op.drop_column("queued_s")
        batch_op.drop_column("adapter_sha256")

    with op.batch_alter_table("inbox") as batch_op:
        batch_op.drop_index(batch_op.f("ix_inbox_state"))
        batch_op.drop_index(batch_op.f("ix_inbox_person_id"))
        batch_op.drop_index(batch_op.f("ix_inbox_chat_id"))
        batch_op.drop_column("error")
        batch_op.drop_column("state")
        batch_op.drop_column("person_id")
        batch_op.drop_column("chat_id")

    with op.batch_alter_table("conversations") as batch_op:
        batch_op.drop_column("epoch")

    with op.batch_alter_table("outbox") as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_state"))
        batch_op.drop_index(batch_op.f("ix_outbox_conversation_id"))

    op.drop_table("outbox")
    op.drop_table("check_ins")
    op.drop_table("admin_audit")
