"""Both databases that Pharos runs on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts.models import AlertRule
from tests.databases import default_on_postgres


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    """What `default` is in this test, for all its threads: SQLite or PostgreSQL."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    with default_on_postgres("contenttypes", "auth", "services", "alerts"):
        yield "postgres"


@pytest.fixture
def no_rules(db: None) -> None:
    """Those that come with Pharos are away."""
    AlertRule.objects.all().delete()
