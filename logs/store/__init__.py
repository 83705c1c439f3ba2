"""Where records are kept: `log_stores["default"]` is the store that LOG_STORES names, as the viewer may see it."""

from typing import cast

from accounts import visibility
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


class _LogStores(Backends[BaseLogStore]):
    def __getitem__(self, alias: str) -> BaseLogStore:
        store = super().__getitem__(alias)
        visible = visibility.current()
        if not visible.limited:
            return store
        from logs.visible import VisibleStore

        return cast(BaseLogStore, VisibleStore(store, visible))


log_stores: Backends[BaseLogStore] = _LogStores("LOG_STORES")

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
