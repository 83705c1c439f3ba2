"""Alerts in the admin. Registered by import."""

from __future__ import annotations

from alerts import admin_channels, admin_incidents, admin_reports, admin_routing, admin_rules  # noqa: F401
