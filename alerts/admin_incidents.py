"""Incidents in the admin: to be read, with their history; what people do with them are actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from alerts import incidents
from alerts.events import VerbError
from alerts.models import Incident, IncidentEvent
from alerts.models.incidents import Status, Via
from services.admin import badge, shown_time
from services.admin_pages import person_of

COLOURS: Final = {Status.OPEN: "red", Status.ACKNOWLEDGED: "yellow", Status.RESOLVED: "green"}
REFUSED_MAX: Final = 5  # sentences of one action


class ReadOnly:
    """Rows that are written by verbs alone."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class EventInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = IncidentEvent
    fields = readonly_fields = ["when", "verb", "actor", "via", "text"]
    hide_title = True
    extra = 0
    verbose_name_plural = _("history")

    @admin.display(description=_("time"))
    def when(self, event: IncidentEvent) -> str:
        return shown_time(event.at)


@admin.register(Incident)
class IncidentAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ["number", "state", "severity", "opened", "title", "service", "assignee", "its_page"]
    list_display_links = ["number", "title"]
    list_filter = ["status", "severity", "rule", "service", "assignee"]
    list_select_related = ["service", "assignee"]
    list_per_page = 100
    show_full_result_count = False
    search_fields = ["title", "summary", "resolution"]
    ordering = ["-opened_at", "-pk"]
    inlines = [EventInline]
    actions = ["acknowledge", "unacknowledge", "assign_to_me", "escalate", "resolve", "reopen"]
    fieldsets = [
        (None, {"fields": ["its_page", "title", "summary", "labels", ("state", "severity"), ("rule", "service")]}),
        (
            _("What became of it"),
            {
                "fields": [
                    "opened", ("acknowledged_at", "acknowledged_by"), "assignee", ("resolved_at", "resolved_by"),
                    "resolution", ("escalation", "step"),
                ]
            },
        ),
    ]  # fmt: skip

    def has_respond_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("alerts.respond_incident")

    @admin.display(description=_("number"), ordering="pk")
    def number(self, incident: Incident) -> int:
        return incident.pk

    @admin.display(description=_("status"), ordering="status")
    def state(self, incident: Incident) -> str:
        return badge(COLOURS[Status(incident.status)], Status(incident.status).label)

    @admin.display(description=_("opened"), ordering="opened_at")
    def opened(self, incident: Incident) -> str:
        return shown_time(incident.opened_at)

    @admin.display(description=_("page"))
    def its_page(self, incident: Incident) -> str:
        link = reverse("alerts:incident", args=[incident.pk])
        return format_html('<a class="linked" href="{}">{} {}</a>', link, _("Incident"), incident.pk)

    # --- What is done with many ---

    @admin.action(description=_("Acknowledge"), permissions=["respond"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        self._do(request, queryset, incidents.acknowledge, _("Acknowledged: %(done)d."))

    @admin.action(description=_("Take the acknowledgement back"), permissions=["respond"])
    def unacknowledge(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        self._do(request, queryset, incidents.unacknowledge, _("Open again: %(done)d."))

    @admin.action(description=_("Assign to me"), permissions=["respond"])
    def assign_to_me(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        self._do(request, queryset, incidents.assign, _("Assigned to you: %(done)d."), to=person_of(request))

    @admin.action(description=_("Escalate"), permissions=["respond"])
    def escalate(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        self._do(request, queryset, incidents.escalate, _("Escalated: %(done)d."))

    @admin.action(description=_("Resolve"), permissions=["respond"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        self._do(request, queryset, incidents.resolve, _("Resolved: %(done)d."))

    @admin.action(description=_("Reopen"), permissions=["respond"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        self._do(request, queryset, incidents.reopen, _("Reopened: %(done)d."))

    def _do(
        self, request: HttpRequest, chosen: QuerySet[Incident], verb: Callable[..., bool], said: Any, **more: Any
    ) -> None:
        """Of those that are not as the verb needs them it says how they are."""
        done, left = 0, []
        for incident in chosen:
            try:
                if verb(incident, by=person_of(request), via=Via.ADMIN, **more):
                    done += 1
                else:
                    left.append(_as_it_is(incident))
            except VerbError as error:
                left.append(f"{incident.pk}: {error}")
        if done:
            messages.success(request, said % {"done": done})
        for sentence in left[:REFUSED_MAX]:
            messages.warning(request, sentence)
        if len(left) > REFUSED_MAX:
            messages.warning(request, _("And %(left)d more.") % {"left": len(left) - REFUSED_MAX})


def _as_it_is(incident: Incident) -> str:
    by = incident.acknowledged_by if incident.status == Status.ACKNOWLEDGED else incident.resolved_by
    status = Status(incident.status).label
    return f"{incident.pk}: nothing was changed, it is {status}{f' by {by}' if by else ''}."
