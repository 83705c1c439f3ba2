from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.product import Product, running


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """One for all clients."""
    with running() as product:
        yield product
