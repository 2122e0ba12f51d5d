"""The risk that is held belongs to a person in a chat, and no more to one conversation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# What was held is what the open conversation of each person in each chat held.
_HELD = """
INSERT INTO risks (person_id, chat_id, level)
SELECT person_id, chat_id, risk FROM conversations AS held WHERE risk > 0 AND id = (
  SELECT id FROM conversations AS own
  WHERE own.person_id = held.person_id AND own.chat_id = held.chat_id
  ORDER BY opened DESC, id DESC LIMIT 1
)
"""
_BACK = """
UPDATE conversations SET risk = coalesce((
  SELECT level FROM risks
  WHERE risks.person_id = conversations.person_id AND risks.chat_id = conversations.chat_id
), 0)
"""


def upgrade() -> None:
    op.create_table(
        "risks",
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("chat_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["persons.id"],
            name=op.f("fk_risks_person_id_persons"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("person_id", "chat_id", name=op.f("pk_risks")),
    )
    op.execute(_HELD)
    with op.batch_alter_table(
        "conversations", table_kwargs={"sqlite_autoincrement": True}
    ) as batch_op:
        batch_op.drop_column("risk")


def downgrade() -> None:
    with op.batch_alter_table(
        "conversations", table_kwargs={"sqlite_autoincrement": True}
    ) as batch_op:
        batch_op.add_column(sa.Column("risk", sa.Integer(), nullable=False, server_default="0"))
    op.execute(_BACK)
    op.drop_table("risks")
