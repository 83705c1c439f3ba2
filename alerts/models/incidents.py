"""Incidents: what people handle, with every event that happened to them, and what was known when they began."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models.receivers import EscalationPolicy
from alerts.models.rules import AlertRule
from alerts.severity import Severity
from services.models import Service


class Status(models.TextChoices):
    OPEN = "open", _("open")
    ACKNOWLEDGED = "acknowledged", _("acknowledged")
    RESOLVED = "resolved", _("resolved")


class Incident(models.Model):
    """`status`, and what goes with it, is written by the verbs of `alerts.incidents` alone."""

    key = models.CharField(max_length=64)  # of the labels that its alerts have in common
    title = models.CharField(max_length=300)
    summary = models.CharField(max_length=1_000, blank=True)
    labels = models.JSONField(default=dict)
    severity = models.CharField(max_length=10, choices=Severity.choices)  # the worst that its alerts had
    rule = models.ForeignKey(AlertRule, models.SET_NULL, null=True, related_name="incidents")
    service = models.ForeignKey(Service, models.SET_NULL, null=True, related_name="incidents")

    status = models.CharField(max_length=12, choices=Status.choices, default=Status.OPEN)
    opened_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False
    )
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(  # nobody: it ended by itself
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False
    )
    resolution = models.CharField(max_length=1_000, blank=True)  # how it ended, in a person's words
    assignee = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="incidents")
    ticks = models.JSONField(default=list)  # the steps of the runbook that are done, by their number
    event_at = models.DateTimeField()  # when something happened last

    # Who is told next: the steps of this policy count from that time on; the next one, and when it or a reminder is
    # due (µs). Whoever moves the deadline writes the deliveries in the same transaction.
    escalation = models.ForeignKey(EscalationPolicy, models.SET_NULL, null=True, related_name="incidents")
    escalates_from = models.DateTimeField(default=timezone.now)
    step = models.PositiveSmallIntegerField(default=0)
    escalate_at = models.BigIntegerField(null=True)
    evidence_at = models.BigIntegerField(null=True)  # µs: when evidence is collected next; a lease while it is

    class Meta:
        default_permissions = ("view",)
        permissions = [("respond_incident", _("Can acknowledge, assign, comment and resolve incidents"))]
        ordering = ["-opened_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=~models.Q(status="resolved"), name="incident_open_once"),
        ]
        indexes = [
            # The list: open first, the newest first.
            models.Index(fields=["status", "-opened_at"], name="incident_by_status"),
            # Similar ones.
            models.Index(fields=["key", "-opened_at"], name="incident_by_key"),
            # "Who is told next?", asked each second.
            models.Index(
                fields=["escalate_at"], condition=models.Q(escalate_at__isnull=False), name="incident_by_escalation"
            ),
            # "Of which is evidence to be collected?", asked every few seconds.
            models.Index(
                fields=["evidence_at"], condition=models.Q(evidence_at__isnull=False), name="incident_by_evidence"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Verb(models.TextChoices):
    OPEN = "open", _("opened")
    ALERT = "alert", _("alert")  # another alert joined, or one ended
    ACKNOWLEDGE = "acknowledge", _("acknowledged")
    UNACKNOWLEDGE = "unacknowledge", _("acknowledgement taken back")
    ASSIGN = "assign", _("assigned")
    COMMENT = "comment", _("comment")
    TICK = "tick", _("step of the runbook")
    ESCALATE = "escalate", _("escalated")
    REMIND = "remind", _("reminded")
    EVIDENCE = "evidence", _("evidence frozen")
    NOTIFY = "notify", _("told")  # somebody was told, or could not be
    RESOLVE = "resolve", _("resolved")
    REOPEN = "reopen", _("reopened")


class Via(models.TextChoices):
    SYSTEM = "system", _("by itself")
    PAGE = "page", _("page")
    ADMIN = "admin", _("admin")
    API = "api", _("API")
    MAIL = "mail", _("link in a mail")


class IncidentEvent(models.Model):
    """Append-only."""

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField()
    verb = models.CharField(max_length=14, choices=Verb.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    actor = models.CharField(max_length=150, blank=True)  # the name, also when the user is gone; an API key's
    via = models.CharField(max_length=6, choices=Via.choices, default=Via.SYSTEM)
    text = models.TextField(max_length=5_000, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        default_permissions = ("view",)
        ordering = ["at", "pk"]
        indexes = [models.Index(fields=["incident", "at"], name="event_by_incident")]

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.text}".strip()


class Evidence(models.Model):
    """What was known when the incident was opened: it stays when the lines themselves are gone."""

    class Kind(models.TextChoices):
        MATCHES = "matches", _("matching lines")
        LINES = "lines", _("lines of the service")
        CHANGES = "changes", _("changes of status")
        CONTAINERS = "containers", _("container events")
        DEPLOY = "deploy", _("last deploy")
        SERIES = "series", _("the rule's value")

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="evidence", db_index=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    taken_at = models.DateTimeField()
    data = models.JSONField()  # bounded, of the kind's own shape: see alerts.evidence
    note = models.CharField(max_length=300, blank=True)  # "212 lines, the first 200", "the log store didn't answer"

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["incident", "kind"], name="evidence_once")]

    def __str__(self) -> str:
        return self.get_kind_display()
