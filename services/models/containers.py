"""Docker hosts, and what is known of their containers."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.secrets import EncryptedJSONField
from services.models.watched import Service


class DockerHost(models.Model):
    """An engine that is watched. What is known of it is written by `services.containers` alone."""

    name = models.CharField(max_length=100, unique=True)
    address = models.CharField(
        max_length=300,
        unique=True,
        help_text=_(
            "unix:///var/run/docker.sock, tcp://host:2375, tcp://host:2376 with certificates, or ssh://user@host."
        ),
    )
    tls = EncryptedJSONField(default=dict, blank=True)  # "ca", "cert", "key": PEM
    ports_at = models.CharField(
        _("ports are published at"),
        max_length=200,
        blank=True,
        help_text=_("The address at which Pharos reaches published ports; empty: guessed from the address."),
    )
    enabled = models.BooleanField(default=True)

    away = models.BooleanField(default=False, editable=False)
    detail = models.CharField(max_length=500, blank=True, editable=False)  # why it is away, or what it is
    seen_at = models.DateTimeField(null=True, editable=False)
    events_until = models.BigIntegerField(default=0, editable=False)  # ns by its clock: events before are known
    listed_at = models.BigIntegerField(default=0, editable=False)  # µs: when everything was looked at last
    sample_due_at = models.BigIntegerField(default=0, editable=False)  # µs
    due_at = models.BigIntegerField(default=0, editable=False)  # µs; as Check.due_at
    claim = models.CharField(max_length=32, blank=True, editable=False)

    class Meta:
        verbose_name = _("Docker host")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Container(models.Model):
    """A container as its engine described it last."""

    host = models.ForeignKey(DockerHost, models.CASCADE, related_name="containers", db_index=False)
    container_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    service = models.ForeignKey(Service, models.SET_NULL, null=True, blank=True, related_name="containers")
    image = models.CharField(max_length=255, blank=True)
    image_id = models.CharField(max_length=80, blank=True)
    compose_project = models.CharField(max_length=100, blank=True)
    compose_service = models.CharField(max_length=100, blank=True)
    labels = models.JSONField(default=dict)
    found = models.JSONField(default=dict)  # what was made of it, and why: `container_labels.Plan`
    job = models.BooleanField(default=False)  # it is meant to end
    # Docker's word: created, running, paused, restarting, exited, dead; or "removed", where nothing took its place.
    state = models.CharField(max_length=20)
    health = models.CharField(max_length=20, blank=True)  # starting, healthy, unhealthy; "" without a health check
    state_since = models.DateTimeField()  # of state and health, by the engine's clock
    exit_code = models.IntegerField(null=True)
    oom_killed = models.BooleanField(default=False)
    restart_count = models.PositiveIntegerField(default=0)
    looping_since = models.DateTimeField(null=True)  # it restarts again and again
    detail = models.CharField(max_length=300, blank=True)  # why it did not start, or what its health check said
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True)  # it is there no more; the row stays for its history
    # The newest sample.
    cpu_percent = models.FloatField(null=True)  # of one core
    memory_bytes = models.BigIntegerField(null=True)
    memory_limit = models.BigIntegerField(null=True)
    counters = models.JSONField(default=dict)  # `docker_stats.Counters`, for the next sample to begin from

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["host", "container_id"], name="container_once")]
        # Pages list what is there; so does what judges a service.
        indexes = [models.Index(fields=["removed_at", "name"], name="container_by_name")]

    def __str__(self) -> str:
        return self.name


class ContainerEvent(models.Model):
    """What happened to a container, by its engine's clock."""

    class Kind(models.TextChoices):
        CREATE = "create", _("created")
        START = "start", _("started")
        DIE = "die", _("ended")
        OOM = "oom", _("out of memory")
        HEALTH = "health", _("health changed")
        RESTART_LOOP = "restart_loop", _("restarts again and again")
        PAUSE = "pause", _("paused")
        UNPAUSE = "unpause", _("goes on")
        RENAME = "rename", _("renamed")
        DEPLOY = "deploy", _("new image")
        DESTROY = "destroy", _("removed")

    container = models.ForeignKey(Container, models.CASCADE, related_name="events", db_index=False)
    service = models.ForeignKey(Service, models.SET_NULL, null=True, related_name="container_events", db_index=False)
    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=Kind.choices)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ("view",)
        ordering = ["-at", "-pk"]
        # The history of a container, of a service (deploys on its charts), and of everything.
        indexes = [
            models.Index(fields=["container", "at"], name="event_by_container"),
            models.Index(fields=["service", "at"], name="event_by_service"),
            models.Index(fields=["at"], name="event_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.container}: {self.get_kind_display()}"


class ContainerSample(models.Model):
    """What a container used between two looks. Counters are per second."""

    container = models.ForeignKey(Container, models.CASCADE, related_name="samples", db_index=False)
    at = models.BigIntegerField()  # µs
    span = models.PositiveIntegerField(default=10)  # seconds that it stands for: 10, later 300
    cpu_percent = models.FloatField(null=True)  # of one core
    memory_bytes = models.BigIntegerField(null=True)
    network_rx = models.FloatField(null=True)  # bytes/s
    network_tx = models.FloatField(null=True)
    block_read = models.FloatField(null=True)
    block_write = models.FloatField(null=True)

    class Meta:
        default_permissions = ("view",)
        indexes = [models.Index(fields=["container", "at"], name="sample_by_container")]

    def __str__(self) -> str:
        return f"sample at {self.at}"
