"""Inserting what may be there already, as SQLite and PostgreSQL each say it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession


def insert_into(session: AsyncSession, table: Any) -> Any:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def new_rows(session: AsyncSession, table: Any) -> Any:
    """An INSERT that leaves alone what is there."""
    return insert_into(session, table).on_conflict_do_nothing()
