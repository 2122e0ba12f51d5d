"""An operator's message to everybody is sealed too, under nobody's key, and emptied once sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NOBODY = 0


def upgrade() -> None:
    connection, sealer = op.get_bind(), context.config.attributes["seal"]
    under_way = sa.text("SELECT id, text FROM broadcasts WHERE state = 'open' ORDER BY id")
    rows = list(connection.execute(under_way))
    with op.batch_alter_table("broadcasts", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_column("text")
        batch.add_column(sa.Column("text", sa.LargeBinary(), nullable=False, server_default=""))
    with op.batch_alter_table("broadcasts", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("text", server_default=None)
    for row in rows:
        sealed = bytes(sealer(connection, NOBODY, ("broadcasts", "text", row.id), row.text))
        put = sa.text("UPDATE broadcasts SET text = :sealed WHERE id = :id")
        connection.execute(put, {"sealed": sealed, "id": row.id})


def downgrade() -> None:
    raise NotImplementedError("words that are sealed are not laid open again: restore a backup")
