"""What is watched, and what happened to it."""

from services.models.containers import Container, ContainerEvent, ContainerSample, DockerHost
from services.models.heartbeats import Heartbeat, HeartbeatPing
from services.models.history import CheckHour, CheckResult, StatusChange
from services.models.maintenance import MaintenanceWindow
from services.models.watched import Category, Check, Dependency, Service

__all__ = [
    "Category",
    "Check",
    "CheckHour",
    "CheckResult",
    "Container",
    "ContainerEvent",
    "ContainerSample",
    "Dependency",
    "DockerHost",
    "Heartbeat",
    "HeartbeatPing",
    "MaintenanceWindow",
    "Service",
    "StatusChange",
]
