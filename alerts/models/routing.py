"""Who is told of which alerts: routes, and what keeps them quiet; and the state of each group of alerts."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts import matchers, mute_times
from alerts.models.alerts import Alert
from alerts.models.receivers import Channel, EscalationPolicy, Receiver

YEAR = 365 * 86_400


def valid_matchers(value: object) -> None:
    """A list of texts like 'severity=~"critical|high"'."""
    try:
        matchers.parse_all(value)
    except matchers.MatcherError as error:
        raise ValidationError(str(error)) from None


def valid_names(value: object) -> None:
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise ValidationError(_('Expected names of labels, like ["alertname", "service"].'))


def valid_intervals(value: object) -> None:
    try:
        mute_times.parse(value)
    except mute_times.IntervalError as error:
        raise ValidationError(str(error)) from None


class MuteTime(models.Model):
    """Times of the week, month or year, as Alertmanager's `time_intervals` say them."""

    name = models.CharField(max_length=100, unique=True)
    intervals = models.JSONField(default=list, validators=[valid_intervals])

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Route(models.Model):
    """A node of the tree. What is empty comes from the parent. The root is the one without a parent: it takes all."""

    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="routes")
    order = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=100, blank=True)
    matchers = models.JSONField(default=list, blank=True, validators=[valid_matchers])
    receiver = models.ForeignKey(Receiver, models.PROTECT, null=True, blank=True, related_name="routes")
    continues = models.BooleanField(
        _("continue"), default=False, help_text=_("The routes after it are looked at, too.")
    )
    # ["..."] is each alert by itself, as in Alertmanager; null comes from the parent.
    group_by = models.JSONField(null=True, blank=True, validators=[valid_names])
    group_wait = models.FloatField(null=True, blank=True, validators=[MaxValueValidator(YEAR)])  # seconds
    group_interval = models.FloatField(null=True, blank=True, validators=[MaxValueValidator(YEAR)])
    repeat_interval = models.FloatField(null=True, blank=True, validators=[MaxValueValidator(YEAR)])
    mute_times = models.ManyToManyField(MuteTime, blank=True, related_name="+")
    active_times = models.ManyToManyField(MuteTime, blank=True, related_name="+")
    escalation = models.ForeignKey(EscalationPolicy, models.SET_NULL, null=True, blank=True, related_name="routes")

    class Meta:
        ordering = ["order", "pk"]
        constraints = [
            models.UniqueConstraint(models.Value(1), condition=models.Q(parent=None), name="one_root"),
        ]

    def __str__(self) -> str:
        return self.name or ", ".join(self.matchers) or f"route {self.pk}"


class InhibitRule(models.Model):
    """While an alert that matches the source fires, those that match the target are not told."""

    name = models.CharField(max_length=100, blank=True)
    source_matchers = models.JSONField(default=list, validators=[valid_matchers])
    target_matchers = models.JSONField(default=list, validators=[valid_matchers])
    # ["..."] is every label but the severity.
    equal = models.JSONField(default=list, blank=True, validators=[valid_names])
    from_parents = models.BooleanField(
        _("from what it needs"),
        default=False,
        help_text=_("The source is an alert of a service that the target's service needs, while that one is down."),
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name or f"{', '.join(self.source_matchers)} → {', '.join(self.target_matchers)}"


class Silence(models.Model):
    """Alerts that match all of `matchers` tell nobody from `starts_at` to `ends_at`. Never changed: replaced."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    matchers = models.JSONField(validators=[valid_matchers])
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.CharField(max_length=100)  # as it was said: a person, or a program by the API
    comment = models.CharField(max_length=1_000)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    warned_at = models.DateTimeField(null=True, editable=False)  # that it ends soon

    class Meta:
        ordering = ["-starts_at"]
        indexes = [
            # "Which are in force?"
            models.Index(fields=["ends_at"], name="silence_by_end"),
        ]

    def __str__(self) -> str:
        return f"{', '.join(self.matchers)} until {self.ends_at:%Y-%m-%d %H:%M} UTC"

    def clean(self) -> None:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": _("It would end before it begins.")})
        try:
            parsed = matchers.parse_all(self.matchers)
        except matchers.MatcherError:
            return  # the field itself says so
        if all(matcher.matches({}) for matcher in parsed):
            raise ValidationError({"matchers": _("It would hit everything: at least one must ask for some value.")})


class Group(models.Model):
    """Alerts of one route with equal values of its `group_by`: told together."""

    route = models.ForeignKey(Route, models.CASCADE, null=True, related_name="groups", db_index=False)
    # A rule's own receivers (`AlertRule.receivers`) stand beside the routes: then this says which.
    receiver = models.ForeignKey(Receiver, models.CASCADE, null=True, related_name="+", db_index=False)
    key = models.CharField(max_length=64, unique=True)  # of the route or receiver, and the labels
    labels = models.JSONField()  # that its alerts have in common because of `group_by`
    flush_at = models.BigIntegerField(null=True)  # µs: when it is looked at next; null: it has no alerts
    looked_at = models.BigIntegerField(null=True)  # µs: when it was last; null: not since it has alerts
    claim = models.CharField(max_length=32, blank=True)

    class Meta:
        default_permissions = ("view",)
        indexes = [
            # "Which are due?", asked each second; and which are old.
            models.Index(fields=["flush_at"], name="group_by_flush"),
        ]

    def __str__(self) -> str:
        return ", ".join(f'{name}="{value}"' for name, value in self.labels.items()) or "all"


class Member(models.Model):
    """An alert in a group. It leaves once its end was told, or was never worth telling."""

    group = models.ForeignKey(Group, models.CASCADE, related_name="members", db_index=False)
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="memberships")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["group", "alert"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.alert} in {self.group}"


class Notified(models.Model):
    """What a channel was told last of a group. Alertmanager calls it the notification log."""

    group = models.ForeignKey(Group, models.CASCADE, related_name="notified", db_index=False)
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="+")
    firing = models.JSONField(default=list)  # fingerprints
    resolved = models.JSONField(default=list)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["group", "channel"], name="notified_once")]

    def __str__(self) -> str:
        return f"{self.channel} of {self.group}"
