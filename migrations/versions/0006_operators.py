"""Shared inbox, admission, switches, broadcasts and buttons that were used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox_chats",
        sa.Column("chat_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("claimed_by", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("chat_id", name=op.f("pk_inbox_chats")),
    )
    with op.batch_alter_table("inbox_chats") as batch_op:
        batch_op.create_index(batch_op.f("ix_inbox_chats_claimed_by"), ["claimed_by"])
    op.execute(
        "INSERT INTO inbox_chats (chat_id) "
        "SELECT DISTINCT coalesce(chat_id, 0) FROM inbox WHERE state = 'open'"
    )
    op.create_table(
        "bans",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=True),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tag", name=op.f("pk_bans")),
    )
    op.create_table(
        "invites",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tag", name=op.f("pk_invites")),
    )
    op.create_table(
        "admitted",
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_admitted")),
    )
    op.create_table(
        "used_buttons",
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_used_buttons")),
    )
    op.create_table(
        "switches",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("changed", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_switches")),
    )
    op.create_table(
        "broadcasts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reached", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for table in ("broadcasts", "switches", "used_buttons", "admitted", "invites", "bans"):
        op.drop_table(table)
    op.drop_table("inbox_chats")
