"""Views for somebody who sees the services of some teams, or has a key for some services: see accounts/visibility.py.

A view belongs here once all that it shows passes the log store, `services.visible` or `alerts.visible`, or when it
shows nothing of services. tests/monitor/test_teams.py walks them. All others are closed to him.
"""

from __future__ import annotations

from typing import Final

_LOGS: Final = (
    "logs:page", "logs:older", "logs:chart", "logs:services", "logs:values", "logs:export", "logs:save", "logs:remove",
    "logs:user", "logs:usage", "logs:connect", "logs:make_key", "logs:waiting", "logs:row",
    "api-logs", "logs.api.search", "api-histogram", "api-values", "api-export", "api-stream", "api-record",
    "api-context",
)  # fmt: skip
_SERVICES: Final = (
    "services:list", "services:more", "services:detail", "services:chart", "services:check-now", "services:pause",
    "services:resume", "services:heartbeat", "services:sla", "services:sla-export", "service-lines",
    "containers:list", "containers:detail",
    "api-containers", "api-services", "services.api.services", "api-services-status", "services.api.status",
    "api-service", "api-service-results", "api-service-check", "api-service-pause", "api-service-resume",
)  # fmt: skip
_INCIDENTS: Final = (
    "overview", "status",
    "alerts:incidents", "alerts:acknowledge-some", "alerts:incident", "alerts:acknowledge", "alerts:unacknowledge",
    "alerts:resolve", "alerts:reopen", "alerts:escalate", "alerts:assign", "alerts:comment", "alerts:tick",
    "alerts:silence", "alerts:alerts", "alerts:routes", "alerts:reports",
    "alerts:silences", "alerts:silence-new", "alerts:silence-preview", "alerts:silence-edit", "alerts:silence-expire",
    "api-incidents", "api-incident-times", "alerts.incident_api.incidents", "api-incident",
    "api-incident-evidence", "api-incident-act",
    # Sending alerts to it, too. Its receivers and status are not here: they name what they like.
    "alertmanager:alerts", "alertmanager:groups", "alertmanager:silences", "alertmanager:silence",
)  # fmt: skip
# About nothing that is watched.
_OWN: Final = (
    "ping", "ping-slug", "push",
    "admin:logout", "admin:password_change", "admin:password_change_done", "admin:jsi18n", "time-zone",
    "health-live", "health-ready", "ready", "alertmanager:ready", "alertmanager:healthy",
)  # fmt: skip

VIEWS: Final = frozenset({*_LOGS, *_SERVICES, *_INCIDENTS, *_OWN})
