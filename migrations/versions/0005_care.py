"""Follow-ups, hand-overs to an operator, and when people were told what this is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "follow_ups",
        sa.Column("id", sa.Integer(), nullable=False),
        _person(),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("due", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        _of_person("follow_ups"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_follow_ups")),
    )
    op.create_index(op.f("ix_follow_ups_person_id"), "follow_ups", ["person_id"])
    op.create_index(op.f("ix_follow_ups_state"), "follow_ups", ["state"])
    op.create_table(
        "hand_overs",
        _person(),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("changed", sa.DateTime(), nullable=False),
        sa.Column("operator_id", sa.BigInteger(), nullable=True),
        sa.Column("taken", sa.DateTime(), nullable=True),
        _of_person("hand_overs"),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_hand_overs")),
    )
    op.create_index(op.f("ix_hand_overs_operator_id"), "hand_overs", ["operator_id"])
    op.create_table(
        "disclosures",
        _person(),
        sa.Column("told", sa.DateTime(), nullable=False),
        sa.Column("last_said", sa.DateTime(), nullable=False),
        sa.Column("talked_s", sa.Double(), nullable=False),
        _of_person("disclosures"),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_disclosures")),
    )


def _person() -> sa.Column[int]:
    return sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False)


def _of_person(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["person_id"],
        ["persons.id"],
        name=op.f(f"fk_{table}_person_id_persons"),
        ondelete="CASCADE",
    )


def downgrade() -> None:
    for table in ("disclosures", "hand_overs", "follow_ups"):
        op.drop_table(table)
