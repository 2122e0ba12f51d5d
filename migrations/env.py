"""How Alembic reaches the database: over the connection that the store hands it."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from bot.store.base import SealedBytes, UtcDateTime
from bot.store.tables import Base


def render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A revision must not depend on the code's own types, which change after it."""
    plain = {UtcDateTime: "sa.DateTime()", SealedBytes: "sa.LargeBinary()"}
    return plain.get(type(item), False) if kind == "type" else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=render,
)
with context.begin_transaction():
    context.run_migrations()
