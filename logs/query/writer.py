"""Queries as text, for links and buttons: what `parse` then reads as exactly what was meant."""

from __future__ import annotations

import re
from typing import Final

from logs.query.reader import NOT_A_FIELD, names_field, quoted

_PLAIN_VALUE: Final = re.compile(r"\w(?:[\w.@/-]*[\w/])?")


def literal(text: str) -> str:
    """A query that means exactly this text."""
    return quoted(text)


def term(field: str, value: str) -> str:
    """`field:value`, quoted if needed, for links: `request_id:"a b"`.

    A key of the metadata that no query can name (it has a space or a quote in it) gives a search for the value.
    """
    name = next((name for name in (field, f"metadata.{field}") if names_field(name)), None)
    if name is None:
        return literal(value)
    bare = f"{name}:{value}"
    return bare if _PLAIN_VALUE.fullmatch(value) and not NOT_A_FIELD.match(bare) else f"{name}:{literal(value)}"
