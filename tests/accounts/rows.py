"""A real row for each argument of an address."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Scope
from alerts import links
from alerts.models import AlertRule, Channel, Delivery, Incident, Route, Silence
from logs.models import SavedQuery
from services.models import Check, Container, Heartbeat, Service
from tests.alerts import made as alerts
from tests.logs.test_pages import line, stored
from tests.services import fleet
from tests.services import made as services

Arguments = Mapping[str, Any]


class Rows:
    """Rows by their model, made when they are asked for."""

    def __init__(self) -> None:
        self._made: dict[type[models.Model], models.Model] = {}

    def of(self, model: type[models.Model]) -> Any:
        if model not in self._made:
            self._made[model] = MADE[model](self) if model in MADE else self._filled(model)
        return self._made[model]

    @cached_property
    def record(self) -> str:
        """The id of a line in the store."""
        return stored(line())[0].id

    def _filled(self, model: type[models.Model]) -> models.Model:
        """With something in each field that must have something. In bulk, for then nobody validates it."""
        values = {
            field.attname: self._value(field)
            for field in model._meta.concrete_fields
            if not (field.null or field.blank or field.has_default() or field.primary_key)
        }
        manager: Any = model._default_manager
        return manager.bulk_create([model(**values)])[0]  # type: ignore[no-any-return]

    def _value(self, field: Any) -> Any:
        if field.choices:
            return field.choices[0][0]
        match field:
            case models.ForeignKey():
                return self.of(field.related_model).pk
            case models.UUIDField():
                return uuid.uuid4()
            case models.DateTimeField():
                return timezone.now()
            case models.DateField():
                return timezone.now().date()
            case models.JSONField():
                return {}
            case models.BinaryField():
                return b"x"
            case models.IntegerField() | models.FloatField():
                return 1
            case models.BooleanField():
                return False
        return "x"

    def arguments(self, address: str) -> Arguments:
        """What stands for the arguments of an address: by the longest beginning that is known."""
        if address.startswith("admin/"):
            return self._of_admin(address)
        known = max((each for each in ADDRESSES if address.startswith(each)), key=len, default=None)
        assert known is not None, f"tests/accounts/rows.py has no arguments for {address}: add them to ADDRESSES."
        found: Arguments = ADDRESSES[known](self)
        return found

    def _of_admin(self, address: str) -> Arguments:
        if address.startswith("admin/r/"):
            service = self.of(Service)
            return {"content_type_id": ContentType.objects.get_for_model(Service).pk, "object_id": service.pk}
        app, name = address.split("/")[1:3]
        pk = self.of(ContentType.objects.get(app_label=app, model=name).model_class() or Service).pk
        return {"object_id": pk, "pk": pk, "id": pk}


def _silence(rows: Rows) -> Silence:
    now = timezone.now()
    return Silence.objects.create(
        matchers=['alertname="x"'], starts_at=now, ends_at=now + timedelta(hours=1), comment="x", created_by="x"
    )


def _heartbeat(rows: Rows) -> Heartbeat:
    job = services.check(rows.of(Service), "job", kind="heartbeat", role="health")
    return Heartbeat.objects.create(service_check=job, ping_key="ping-key", slug="backup")


def _user(rows: Rows) -> User:
    user = User.objects.create_user("somebody")
    content_type = ContentType.objects.get_for_model(User)
    LogEntry.objects.create(
        user=user, content_type=content_type, object_id=str(user.pk), object_repr="x", action_flag=CHANGE
    )
    return user


MADE: Final[Mapping[type[models.Model], Any]] = {
    User: _user,
    ApiKey: lambda rows: keys.create("somebody's", [Scope.READ])[0],
    SavedQuery: lambda rows: SavedQuery.objects.create(name="shared", owner=rows.of(User), shared=True, text="x"),
    # Closed ports of this machine: whoever may ask gets an answer at once.
    Service: lambda rows: services.service(),
    Check: lambda rows: services.check(rows.of(Service), kind="tcp", target="127.0.0.1:9"),
    Heartbeat: _heartbeat,
    Container: lambda rows: fleet.container("worker-1"),
    Channel: lambda rows: alerts.channel(options={"url": "http://127.0.0.1:9/"}),
    Delivery: lambda rows: alerts.delivery(rows.of(Incident), rows.of(Channel)),
    Incident: lambda rows: alerts.incident(),
    AlertRule: lambda rows: alerts.rule(),
    Route: lambda rows: Route.objects.filter(parent=None).first() or Route.objects.create(),
    Silence: _silence,
}
ADDRESSES: Final[Mapping[str, Any]] = {
    "services/": lambda rows: {"pk": (rows.of(Check), rows.of(Service))[1].pk},
    "services/heartbeat/": lambda rows: {"pk": rows.of(Heartbeat).pk},
    "api/services/": lambda rows: {"pk": (rows.of(Check), rows.of(Service))[1].pk},
    "containers/": lambda rows: {"pk": rows.of(Container).pk},
    "ws/containers/": lambda rows: {"pk": rows.of(Container).pk},
    "incidents/": lambda rows: {"pk": rows.of(Incident).pk, "token": links.sign(rows.of(Incident).pk, "a receiver")},
    "ws/incidents/": lambda rows: {"pk": rows.of(Incident).pk},
    "api/incidents/": lambda rows: {"pk": rows.of(Incident).pk, "verb": "acknowledge"},
    "silences/": lambda rows: {"pk": rows.of(Silence).pk},
    "api/v2/silence/": lambda rows: {"pk": rows.of(Silence).pk},
    "reports/": lambda rows: {"cadence": "weekly"},
    "logs/saved/": lambda rows: {"pk": rows.of(SavedQuery).pk},
    "logs/connect/": lambda rows: {"slug": "curl"},
    "account/passkeys/": lambda rows: {"pk": rows.of(Authenticator).pk},
    "account/sessions/": lambda _: {"pk": 0},  # nobody's
    "logs/<position:position>/": lambda rows: {"position": rows.record},
    "api/logs/": lambda rows: {"record_id": rows.record},
    "ping/<token>": lambda rows: {"token": rows.of(Heartbeat).token},
    "ping/<key>": lambda rows: {"key": rows.of(Heartbeat).ping_key, "slug": rows.of(Heartbeat).slug},
    "api/push/": lambda rows: {"token": rows.of(Heartbeat).token},
}
