"""Each parser of what strangers send, for a moment; `make fuzz` takes a minute for each."""

from __future__ import annotations

import pytest

from tests.logs import fuzz
from tests.logs.parsers import PARSERS, Parser


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_input_is_read_or_refused(name: str) -> None:
    fuzz.fuzz(PARSERS[name], 100, derandomize=True)


def test_a_parser_that_raises_is_found() -> None:
    def parse(data: bytes) -> None:
        if b"}" not in data:
            raise LookupError(data)

    with pytest.raises(LookupError):
        fuzz.fuzz(Parser(parse, [b"{}"]), 100, derandomize=True)
