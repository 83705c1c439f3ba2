"""A receiver for each test, and the end of its connections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core import http
from tests.alerts.sinks import Sink, http_sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    with http_sink() as sink:
        yield sink
    await http.close()
