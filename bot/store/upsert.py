"""Inserting what may be there already, as SQLite and PostgreSQL each say it."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

Asked = AsyncSession | AsyncConnection


def insert_into(asked: Asked, table: Any) -> Any:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    bound = asked.get_bind() if isinstance(asked, AsyncSession) else asked
    return _insert(bound.dialect.name, table)


def new_rows(asked: Asked, table: Any) -> Any:
    """An INSERT that leaves alone what is there."""
    return insert_into(asked, table).on_conflict_do_nothing()


@cache
def _insert(dialect: str, table: Any) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)
