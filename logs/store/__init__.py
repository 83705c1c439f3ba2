"""Where records are kept: `log_stores["default"]` is the store that LOG_STORES names."""

from core.backends import Backends
from logs.store.base import Backlog, BaseLogStore, Commit, Histogram, Incoming, Page

log_stores: Backends[BaseLogStore] = Backends("LOG_STORES")

__all__ = ["Backlog", "BaseLogStore", "Commit", "Histogram", "Incoming", "Page", "log_stores"]
