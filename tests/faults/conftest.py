"""The PostgreSQL server of tests/postgres, for the faults too."""

from __future__ import annotations

from tests.postgres.conftest import clock as clock
from tests.postgres.conftest import server as server
from tests.postgres.conftest import url as url
