"""When maintenance windows are open."""

from __future__ import annotations

from datetime import datetime

from services.models import MaintenanceWindow, Service


def open_window(service: Service, now: datetime) -> str:
    """The name of a window of the service that is open; "" if none is."""
    return next((window.name for window in service.maintenance_windows.all() if is_open(window, now)), "")


def is_open(window: MaintenanceWindow, now: datetime) -> bool:
    return window.starts_at <= now and (window.ends_at is None or now < window.ends_at) and not window.cron
