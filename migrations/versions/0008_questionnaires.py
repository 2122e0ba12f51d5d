"""Questionnaires that people fill in: which, the answers and the score are sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "questionnaires",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("answers", sa.LargeBinary(), nullable=False),
        sa.Column("begun", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["persons.id"],
            name=op.f("fk_questionnaires_person_id_persons"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questionnaires")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_questionnaires_person_id"), "questionnaires", ["person_id"])
    op.create_index(op.f("ix_questionnaires_begun"), "questionnaires", ["begun"])


def downgrade() -> None:
    op.drop_table("questionnaires")
