"""What is watched: services, and the checks of each."""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.kept import Kept
from core.labels import valid_labels
from core.secrets import EncryptedJSONField
from services import dependencies, probes
from services.status import COLOURS, Means, Outcome, Role, Status


class Category(models.TextChoices):
    """What a service is; it gives the icon."""

    API = "api", _("API")
    WEB = "web", _("web")
    WORKER = "worker", _("worker")
    ML = "ml", _("ML")
    OCR = "ocr", _("OCR")
    DATABASE = "database", _("database")
    CACHE = "cache", _("cache")
    QUEUE = "queue", _("queue")
    STORAGE = "storage", _("storage")
    SSO = "sso", _("single sign-on")
    BILLING = "billing", _("billing")
    PROXY = "proxy", _("proxy")
    JOB = "job", _("job")
    EXTERNAL = "external", _("external API")
    OTHER = "other", _("other")

    @property
    def icon(self) -> str:
        """Of Material Symbols."""
        return ICONS[self]


ICONS: dict[str, str] = {
    Category.API: "api",
    Category.WEB: "language",
    Category.WORKER: "engineering",
    Category.ML: "neurology",
    Category.OCR: "document_scanner",
    Category.DATABASE: "database",
    Category.CACHE: "bolt",
    Category.QUEUE: "low_priority",
    Category.STORAGE: "hard_drive",
    Category.SSO: "key",
    Category.BILLING: "payments",
    Category.PROXY: "alt_route",
    Category.JOB: "schedule",
    Category.EXTERNAL: "public",
    Category.OTHER: "deployed_code",
}


class Service(Kept):
    """What people watch, with its current status. The status is written by `services.statuses` alone."""

    name = models.CharField(
        max_length=100, unique=True, help_text=_("As its log lines name it, so that they are found together.")
    )
    category = models.CharField(max_length=20, choices=Category.choices, default=Category.OTHER)
    description = models.CharField(max_length=300, blank=True)
    owner = models.CharField(max_length=100, blank=True, help_text=_("Who is asked when it is down."))
    labels = models.JSONField(default=dict, blank=True, validators=[valid_labels])
    parents: models.ManyToManyField[Service, Dependency] = models.ManyToManyField(
        "self", through="Dependency", symmetrical=False, related_name="children", blank=True
    )
    sla_target = models.DecimalField(
        _("SLA target in %"),
        max_digits=6,
        decimal_places=3,
        default=Decimal("99.9"),
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(100))],
    )
    paused = models.BooleanField(default=False, help_text=_("Nothing is checked while it is."))
    # "" is a person; "label:…" the container whose labels made it.
    managed_by = models.CharField(max_length=200, blank=True, editable=False)
    from_labels = models.JSONField(default=dict, editable=False)  # what labels said last: the rest a person has changed
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    status = models.CharField(max_length=12, choices=Status.choices, default=Status.UNKNOWN, editable=False)
    status_since = models.DateTimeField(default=timezone.now, editable=False)
    reason = models.CharField(max_length=500, blank=True, editable=False)
    culprit = models.ForeignKey("Check", models.SET_NULL, null=True, editable=False, related_name="+")
    explained_by = models.ForeignKey("self", models.SET_NULL, null=True, editable=False, related_name="+")
    KEPT = frozenset({"status", "status_since", "reason", "culprit", "explained_by"})

    class Meta:
        ordering = ["name"]
        permissions = [("check_service", _("Can check a service now, pause it and resume it"))]
        # Pages count and list by status.
        indexes = [models.Index(fields=["status", "name"], name="service_by_status")]

    def __str__(self) -> str:
        return self.name

    @property
    def colour(self) -> str:
        return COLOURS[Status(self.status)]

    @property
    def icon(self) -> str:
        return Category(self.category).icon


class Dependency(models.Model):
    """`child` needs `parent`: when the parent is down, that explains the child."""

    child = models.ForeignKey(Service, models.CASCADE, related_name="needs")
    parent = models.ForeignKey(Service, models.CASCADE, related_name="needed_by")

    class Meta:
        verbose_name_plural = _("dependencies")
        constraints = [
            models.UniqueConstraint(fields=["child", "parent"], name="dependency_once"),
            models.CheckConstraint(condition=~models.Q(child=models.F("parent")), name="dependency_on_another"),
        ]

    def __str__(self) -> str:
        return f"{self.child} needs {self.parent}"

    def clean(self) -> None:
        if self.child_id and self.parent_id:
            edges = Dependency.objects.exclude(pk=self.pk).values_list("child", "parent")
            if circle := dependencies.circle([*edges, (self.child_id, self.parent_id)]):
                names = Service.objects.in_bulk(circle)
                raise ValidationError(dependencies.sentence([names[each].name for each in circle]))


class Check(Kept):
    """How a service is asked, and what the last answers were. The answers are written by `services.recording` alone."""

    service = models.ForeignKey(Service, models.CASCADE, related_name="checks")
    name = models.CharField(max_length=100, default="health", help_text=_("As sentences name it: “readiness”."))
    role = models.CharField(max_length=12, choices=Role.choices, default=Role.HEALTH)
    kind = models.CharField(max_length=20, choices=probes.choices, default="http")
    target = models.CharField(max_length=500, blank=True)
    options = models.JSONField(default=dict, blank=True)
    # Headers, passwords and DSNs: shown to nobody again.
    secrets = EncryptedJSONField(default=dict, blank=True)
    interval = models.FloatField(default=5, validators=[MinValueValidator(1), MaxValueValidator(86_400)])  # seconds
    timeout = models.FloatField(default=5, validators=[MinValueValidator(0.1), MaxValueValidator(60)])
    initial_delay = models.FloatField(default=0, validators=[MinValueValidator(0), MaxValueValidator(3_600)])
    failure_threshold = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1)], help_text=_("Failures in a row until it counts as failing.")
    )
    success_threshold = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text=_("Successes in a row until it counts as up again.")
    )
    slow_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("An answer that takes longer counts as degraded.")
    )
    failing_means = models.CharField(max_length=10, choices=Means.choices, default=Means.AUTO)
    enabled = models.BooleanField(default=True)
    managed_by = models.CharField(max_length=200, blank=True, editable=False)
    from_labels = models.JSONField(default=dict, editable=False)  # what labels said last: the rest a person has changed
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # What it is settled on, and the results that speak against it (`services.streaks`).
    outcome = models.SmallIntegerField(choices=Outcome.choices, null=True, editable=False)
    outcome_since = models.BigIntegerField(null=True, editable=False)  # µs
    streak_count = models.PositiveIntegerField(default=0, editable=False)
    streak_began = models.BigIntegerField(null=True, editable=False)
    # The newest result.
    last_at = models.BigIntegerField(null=True, editable=False)
    last_outcome = models.SmallIntegerField(choices=Outcome.choices, null=True, editable=False)
    latency_us = models.BigIntegerField(null=True, editable=False)
    detail = models.CharField(max_length=300, blank=True, editable=False)
    parts = models.JSONField(default=list, editable=False)  # of `probes.Part`, each with "since" (µs)
    expires_at = models.DateTimeField(null=True, editable=False)  # of a certificate

    # When it is due (µs). A worker that takes it leaves its claim, and moves this to the end of its lease: if the
    # worker dies, the check is due again. The result brings the next true deadline.
    due_at = models.BigIntegerField(default=0, editable=False)
    claim = models.CharField(max_length=32, blank=True, editable=False)
    KEPT = frozenset(
        {
            "outcome", "outcome_since", "streak_count", "streak_began", "last_at", "last_outcome", "latency_us",
            "detail", "parts", "expires_at", "due_at", "claim",
        }
    )  # fmt: skip

    class Meta:
        ordering = ["service", "pk"]
        constraints = [models.UniqueConstraint(fields=["service", "name"], name="check_name_once")]
        indexes = [
            # "What is due?", asked each second.
            models.Index(fields=["due_at"], condition=models.Q(enabled=True), name="check_by_due"),
            # "What did I just claim?"
            models.Index(fields=["claim"], condition=~models.Q(claim=""), name="check_by_claim"),
        ]

    def __str__(self) -> str:
        return f"{self.service} · {self.name}"

    def clean(self) -> None:
        probes.validate(self.kind, self.target, self.options, self.secrets)

    @property
    def lease(self) -> float:
        """Seconds after which a worker that took it counts as dead."""
        return self.timeout + LEASE_MARGIN


LEASE_MARGIN = 10.0  # seconds
