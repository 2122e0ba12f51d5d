"""What all tables share: times in UTC, sealed bytes and what was in them, names for constraints.

Knows no table.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, LargeBinary, MetaData, TypeDecorator
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase

from bot.sealing.sealed import Sealed


class UtcDateTime(TypeDecorator[datetime]):
    """SQLite keeps no zone: store UTC without one, give it back with one."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """Aware in, naive UTC to the database."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(
        self,
        value: Any | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """Naive from the database, aware out."""
        return None if value is None else value.replace(tzinfo=UTC)


class SealedBytes(TypeDecorator[Sealed]):
    """A column that takes only what was sealed: words in the clear cannot reach the disk."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(
        self,
        value: Sealed | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> bytes | None:
        """Refuses everything that was not sealed."""
        if value is not None and not isinstance(value, Sealed):
            raise TypeError("a sealed column takes sealed bytes")
        return None if value is None else bytes(value)

    def process_result_value(
        self,
        value: Any | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> Sealed | None:
        """As they were sealed; the store opens them."""
        return None if value is None else Sealed(value)


class Base(DeclarativeBase):
    """Names constraints so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        Sealed: SealedBytes,
    }


NO_BODY: dict[str, Any] = {}


class Bodied:
    """A row with a sealed JSON body, which the store opens before it hands the row out."""

    opened = NO_BODY

    @property
    def body(self) -> dict[str, Any]:
        """What it holds; {} when it cannot be read."""
        return self.opened


class Worded:
    """A row with sealed text, which the store opens before it hands the row out."""

    opened = ""

    @property
    def text(self) -> str:
        """What was said."""
        return self.opened
