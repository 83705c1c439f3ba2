"""The sidebar. An entry is there for those who may open it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.http import HttpRequest
from django.urls import resolve, reverse

from accounts import visibility
from accounts.roles import ENTER_ADMIN
from alerts import incident_list
from monitor import doctor_page


class Screen(NamedTuple):
    """A list in the admin."""

    title: str
    icon: str  # of Material Symbols, which unfold brings
    app: str
    model: str


SCREENS: Final = (
    Screen("Services", "dns", "services", "service"),
    Screen("Checks", "network_check", "services", "check"),
    Screen("Docker hosts", "host", "services", "dockerhost"),
    Screen("Maintenance", "build", "services", "maintenancewindow"),
    Screen("Alert rules", "notification_important", "alerts", "alertrule"),
    Screen("Routes", "alt_route", "alerts", "route"),
    Screen("Receivers", "campaign", "alerts", "receiver"),
    Screen("Channels", "send", "alerts", "channel"),
    Screen("Deliveries", "outbox", "alerts", "delivery"),
    Screen("Inhibit rules", "rule", "alerts", "inhibitrule"),
    Screen("Mute times", "bedtime", "alerts", "mutetime"),
    Screen("Incident history", "history", "alerts", "incident"),
    Screen("Digests", "mark_email_read", "alerts", "digest"),
    Screen("Escalation", "escalator_warning", "alerts", "escalationpolicy"),
    Screen("Severities", "priority_high", "alerts", "severityname"),
    Screen("API keys", "key", "accounts", "apikey"),
    Screen("Teams’ services", "groups", "accounts", "teamservice"),
    Screen("Saved queries", "bookmark", "logs", "savedquery"),
    Screen("Log sources", "input", "logs", "logsource"),
    Screen("Pipelines", "filter_alt", "logs", "pipeline"),
    Screen("Redaction", "ink_eraser", "logs", "redactionrule"),
    Screen("Log archive", "inventory_2", "logs", "archivedday"),
    Screen("Dead letters", "unsubscribe", "logs", "deadletter"),
    Screen("Users", "person", "auth", "user"),
    Screen("Groups", "group", "auth", "group"),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    sections = _sections(request)
    if visibility.current().limited:
        for section in sections:
            section["items"] = [each for each in section["items"] if visibility.is_filtered(resolve(each["link"]))]
    return sections


def _sections(request: HttpRequest) -> list[dict[str, Any]]:
    return [
        {"title": "Watch", "items": [*_pages(request), *_service_pages(request)]},
        {
            "title": "Configure",
            "separator": True,
            "items": [
                *_log_pages(request),
                *_route_tester(request),
                *_doctor(request),
                *_screens(request),
                *_trail(request),
            ],
        },
    ]


def _pages(request: HttpRequest) -> list[dict[str, Any]]:
    may = request.user.has_perm
    entries = []
    if may("logs.read_records") or may("services.view_service") or may("alerts.view_incident"):
        overview = reverse("overview")
        entries.append(_entry("Overview", "dashboard", overview, active=request.path == overview))
    if may("logs.read_records"):
        logs = reverse("logs:page")
        others = (reverse("logs:usage"), reverse("logs:connect"))
        shown = request.path.startswith(logs) and not request.path.startswith(others)
        entries.append(_entry("Logs", "terminal", logs, active=shown))
    if may("services.view_service"):
        services, sla = reverse("services:list"), reverse("services:sla")
        shown = request.path.startswith(services) and not request.path.startswith(sla)
        entries.append(_entry("Services", "dns", services, active=shown))
    if may("services.view_container"):
        containers = reverse("containers:list")
        entries.append(_entry("Containers", "deployed_code", containers, active=request.path.startswith(containers)))
    return [*entries, *_alert_pages(request)]


def _alert_pages(request: HttpRequest) -> list[dict[str, Any]]:
    may = request.user.has_perm
    entries = []
    if may("alerts.view_incident"):
        incidents = reverse("alerts:incidents")
        entry = _entry("Incidents", "notification_important", incidents, active=request.path.startswith(incidents))
        # See templates/unfold/helpers/app_list_badge.html.
        entries.append(entry | {"counter": "open-incidents", "badge": incident_list.open_count()})
    if may("alerts.view_alert"):
        alerts = reverse("alerts:alerts")
        entries.append(_entry("Active alerts", "e911_emergency", alerts, active=request.path == alerts))
    if may("alerts.view_silence") or may("alerts.view_alert"):
        silences = reverse("alerts:silences")
        entries.append(_entry("Silences", "notifications_paused", silences, active=request.path.startswith(silences)))
    if may("alerts.view_incident"):
        weekly, shown = reverse("alerts:reports", args=["weekly"]), request.path.startswith("/reports/")
        entries.append(_entry("Reports", "summarize", weekly, active=shown))
    return entries


def _service_pages(request: HttpRequest) -> list[dict[str, Any]]:
    if not request.user.has_perm("services.view_service"):
        return []
    sla = reverse("services:sla")
    return [_entry("SLA report", "verified", sla, active=request.path.startswith(sla))]


def _log_pages(request: HttpRequest) -> list[dict[str, Any]]:
    if not request.user.has_perm("logs.read_records"):
        return []
    connect, usage = reverse("logs:connect"), reverse("logs:usage")
    return [
        _entry("Connect", "cable", connect, active=request.path.startswith(connect)),
        _entry("Log usage", "database", usage, active=request.path == usage),
    ]


def _route_tester(request: HttpRequest) -> list[dict[str, Any]]:
    if not (request.user.has_perm("alerts.view_route") or request.user.has_perm("alerts.view_alert")):
        return []
    tester = reverse("alerts:routes")
    return [_entry("Route tester", "conversion_path", tester, active=request.path.startswith(tester))]


def _doctor(request: HttpRequest) -> list[dict[str, Any]]:
    if not request.user.has_perm(doctor_page.PERMISSION):
        return []
    doctor = reverse("doctor")
    return [_entry("Doctor", "stethoscope", doctor, active=request.path.startswith(doctor))]


def _trail(request: HttpRequest) -> list[dict[str, Any]]:
    if not request.user.has_perm("auditlog.view_logentry"):
        return []
    trail = reverse("trail")
    return [_entry("Audit trail", "policy", trail, active=request.path.startswith(trail))]


def _screens(request: HttpRequest) -> list[dict[str, Any]]:
    if not request.user.has_perm(ENTER_ADMIN):
        return []
    entries = []
    for screen in SCREENS:
        if request.user.has_perm(f"{screen.app}.view_{screen.model}"):
            link = reverse(f"admin:{screen.app}_{screen.model}_changelist")
            entries.append(_entry(screen.title, screen.icon, link, active=request.path.startswith(link)))
    return entries


def _entry(title: str, icon: str, link: str, *, active: bool) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": link, "active": active}
