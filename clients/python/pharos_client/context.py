"""What is known about the work at hand, merged into every line that is written on its behalf.

It belongs to the running task or thread (contextvars): what one request sets, no other sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_current: ContextVar[Mapping[str, Any]] = ContextVar("pharos_context", default=_NOTHING)


def current() -> Mapping[str, Any]:
    return _current.get()


def set_context(**values: Any) -> None:
    """Adds to the context. `request_id`, `trace_id` and `span_id` become the line's fields, the others its metadata."""
    _current.set({**_current.get(), **values})


def clear_context() -> None:
    _current.set(_NOTHING)


@contextmanager
def bound_context(**values: Any) -> Iterator[None]:
    """`set_context` for a block: afterwards everything is as it was before."""
    before = _current.get()
    _current.set({**before, **values})
    try:
        yield
    finally:
        _current.set(before)


@contextmanager
def fresh_context(**values: Any) -> Iterator[None]:
    """A context with these values alone, for a request: a thread may serve many, one after the other."""
    before = _current.get()
    _current.set(values)
    try:
        yield
    finally:
        _current.set(before)
