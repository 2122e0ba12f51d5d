"""Conversations that can be named and opened again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conversations", sa.Column("title", sa.LargeBinary(), nullable=True))
    op.add_column("conversations", sa.Column("opened", sa.DateTime(), nullable=True))
    op.execute("UPDATE conversations SET opened = created")
    with op.batch_alter_table(
        "conversations", table_kwargs={"sqlite_autoincrement": True}
    ) as batch_op:
        batch_op.alter_column("opened", existing_type=sa.DateTime(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table(
        "conversations", table_kwargs={"sqlite_autoincrement": True}
    ) as batch_op:
        batch_op.drop_column("opened")
        batch_op.drop_column("title")
