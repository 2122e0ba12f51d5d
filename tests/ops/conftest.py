"""A store on SQLite, and where asked for one on PostgreSQL."""

from __future__ import annotations

from tests.postgres.conftest import server as server
from tests.store.conftest import clock as clock
from tests.store.conftest import store as store
