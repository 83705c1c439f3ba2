"""Where records are kept: `log_stores["default"]` is the store that LOG_STORES names."""

from core.backends import Backends
from logs.store.base import (
    Backlog,
    BaseLogStore,
    Commit,
    Counts,
    Dropped,
    Histogram,
    Incoming,
    Page,
    Singles,
    Usage,
    Values,
)

log_stores: Backends[BaseLogStore] = Backends("LOG_STORES")

__all__ = [
    "Backlog",
    "BaseLogStore",
    "Commit",
    "Counts",
    "Dropped",
    "Histogram",
    "Incoming",
    "Page",
    "Singles",
    "Usage",
    "Values",
    "log_stores",
]
