from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core import http


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    """The connections of the test's event loop."""
    yield
    await http.close()
