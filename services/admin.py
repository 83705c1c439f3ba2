"""Services, their checks and who needs whom; maintenance windows; the history of statuses, to be read.

Adding by address, and files of services, have pages of their own: `services.admin_pages`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.trail import recording
from core import clock
from core.kind_admin import KindAdmin
from services import admin_pages, label_text, polling, probes, statuses, trying
from services.admin_docker import DockerHostAdmin  # noqa: F401 - registered by import
from services.admin_pages import person_of
from services.check_form import COMMON, CheckForm, form_for
from services.models import Check, Dependency, Heartbeat, MaintenanceWindow, Service, StatusChange
from services.probes import Measurement
from services.status import COLOURS, Outcome, Status

OUTCOME_COLOURS: Final = {
    Outcome.UP: "green",
    Outcome.DEGRADED: "yellow",
    Outcome.FAILING: "yellow",
    Outcome.UNREACHABLE: "red",
}


def badge(colour: str, word: object) -> str:
    """A colour is never alone."""
    return format_html('<span class="state state-{}"><i class="dot" aria-hidden="true"></i>{}</span>', colour, word)


def status_badge(status: str) -> str:
    return badge(COLOURS[Status(status)], Status(status).label)


def outcome_badge(outcome: int | None) -> str:
    if outcome is None:
        return badge("grey", _("no result yet"))
    return badge(OUTCOME_COLOURS[Outcome(outcome)], Outcome(outcome).label)


def shown_time(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"


class MayCheck:
    """The permission of actions that ask, pause and resume."""

    def has_check_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("services.check_service")


def make_due(checks: QuerySet[Check]) -> int:
    """A worker asks them within a second or two. The number of those that are asked at all."""
    rows = Check.objects.filter(pk__in=checks.order_by().values("pk"), enabled=True, service__paused=False)
    rows = rows.exclude(kind__in=polling.PASSIVE)
    return rows.update(due_at=clock.now(), claim="")


# --- Services ------------------------------------------------------------------------------------------------------


class LabelsField(forms.CharField):
    def prepare_value(self, value: Any) -> Any:
        return label_text.write(value, separator="\n") if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        try:
            return label_text.read(super().to_python(value) or "")
        except ValueError as error:
            raise forms.ValidationError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), (data or "").replace("\r\n", "\n"))


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]
    labels = LabelsField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("One name=value per line, like team=payments."),
    )


class CheckInline(TabularInline):  # type: ignore[misc]
    """What there is, each with a link to its form: the fields of a check depend on its kind."""

    model = Check
    fields = readonly_fields = ["its_form", "role", "target", "every", "state", "enabled"]
    hide_title = True
    extra = 0
    can_delete = False
    verbose_name_plural = _("checks")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Check]:
        found: QuerySet[Check] = super().get_queryset(request)
        return found.defer("secrets")

    @admin.display(description=_("check"))
    def its_form(self, check: Check) -> str:
        return format_html(
            '<a class="linked" href="{}">{}</a>', reverse("admin:services_check_change", args=[check.pk]), check.name
        )

    @admin.display(description=_("every"))
    def every(self, check: Check) -> str:
        return f"{check.interval:g} s"

    @admin.display(description=_("result"))
    def state(self, check: Check) -> str:
        return outcome_badge(check.outcome)


class DependencyInline(TabularInline):  # type: ignore[misc]
    model = Dependency
    fk_name = "child"
    autocomplete_fields = ["parent"]
    extra = 0
    verbose_name = _("service that it needs")
    verbose_name_plural = _("needs")


@admin.register(Service)
class ServiceAdmin(MayCheck, ModelAdmin):  # type: ignore[misc]
    form = ServiceForm
    list_display = ["name", "state", "category", "owner", "asked", "labelled"]
    list_filter = ["status", "category", "paused", ("owner", admin.AllValuesFieldListFilter), "checks__kind"]
    list_per_page = 100
    search_fields = ["name", "description", "owner", "checks__target"]
    readonly_fields = ["state", "reason", "since", "made_by"]
    fieldsets = [
        (None, {"fields": ["name", "category", "description", "owner", "labels", "sla_target", "paused"]}),
        (_("Now"), {"fields": ["state", "reason", "since", "made_by"], "classes": ["now"]}),
    ]
    inlines = [CheckInline, DependencyInline]
    actions = ["check_now", "pause", "resume"]
    actions_list = ["by_url", "bring", "take"]
    list_before_template = "services/admin/_first.html"
    change_form_after_template = "services/admin/_add_check.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        found: QuerySet[Service] = super().get_queryset(request)
        return found.annotate(check_count=Count("checks", distinct=True))

    def get_fieldsets(self, request: HttpRequest, obj: Service | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:1]

    def get_readonly_fields(self, request: HttpRequest, obj: Service | None = None) -> list[str]:
        return self.readonly_fields if self.has_check_permission(request) else [*self.readonly_fields, "paused"]

    def get_inlines(self, request: HttpRequest, obj: Service | None) -> list[Any]:
        return self.inlines if obj else [DependencyInline]

    @admin.display(description=_("status"), ordering="status")
    def state(self, service: Service) -> str:
        return status_badge(service.status)

    @admin.display(description=_("since"))
    def since(self, service: Service) -> str:
        return shown_time(service.status_since)

    @admin.display(description=_("made by"))
    def made_by(self, service: Service) -> str:
        return service.managed_by or str(_("a person"))

    @admin.display(description=_("checks"), ordering="check_count")
    def asked(self, service: Service) -> int:
        return getattr(service, "check_count", 0)

    @admin.display(description=_("labels"))
    def labelled(self, service: Service) -> str:
        return label_text.write(service.labels)

    def save_model(self, request: HttpRequest, obj: Service, form: Any, change: bool) -> None:
        """Pausing and resuming are verbs."""
        wanted = obj.paused
        moved = change and "paused" in form.changed_data
        obj.paused = not wanted if moved else wanted
        super().save_model(request, obj, form, change)
        if moved:
            verb = polling.pause if wanted else polling.resume
            verb(obj, by=person_of(request))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        statuses.settle([form.instance.pk], timezone.now())

    # --- What is done with many ---

    @admin.action(description=_("Check now"), permissions=["check"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[Service]) -> None:
        due = make_due(Check.objects.filter(service__in=queryset.order_by().values("pk")))
        messages.success(
            request, _("Checks that are due now: %(due)d. Their results come within seconds.") % {"due": due}
        )

    @admin.action(description=_("Pause"), permissions=["check"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Service]) -> None:
        done = sum(polling.pause(service, by=person_of(request)) for service in queryset)
        messages.success(request, _("Paused: %(done)d.") % {"done": done})

    @admin.action(description=_("Resume"), permissions=["check"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Service]) -> None:
        done = sum(polling.resume(service, by=person_of(request)) for service in queryset)
        messages.success(request, _("Resumed, and due now: %(done)d.") % {"done": done})

    # --- Pages above the list ---

    def has_make_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perms(["services.add_service", "services.add_check"])

    def has_bring_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perms(admin_pages.IMPORT)

    def has_take_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perms(admin_pages.EXPORT)

    @action(description=_("Add by address"), permissions=["make"], url_path="by-url", icon="add_link")  # type: ignore[untyped-decorator]
    def by_url(self, request: HttpRequest) -> HttpResponse:
        return admin_pages.by_url(request)

    @action(description=_("Import"), permissions=["bring"], url_path="import", icon="upload")  # type: ignore[untyped-decorator]
    def bring(self, request: HttpRequest) -> HttpResponse:
        return admin_pages.bring(request)

    @action(description=_("Export"), permissions=["take"], url_path="export", icon="download")  # type: ignore[untyped-decorator]
    def take(self, request: HttpRequest) -> HttpResponse:
        return admin_pages.take(request)


# --- Checks --------------------------------------------------------------------------------------------------------


class HeartbeatInline(StackedInline):  # type: ignore[misc]
    """The address that the job pings: a new one, or the one that its crontab has already."""

    model = Heartbeat
    fields = ["token", ("ping_key", "slug")]
    can_delete = False
    verbose_name_plural = _("address")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("services.change_check")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)


@admin.register(Check)
class CheckAdmin(MayCheck, KindAdmin):
    list_display = ["__str__", "state", "kind", "target", "every", "asked", "enabled"]
    list_filter = ["kind", "outcome", "role", "enabled"]
    list_per_page = 100
    list_select_related = ["service"]
    search_fields = ["name", "target", "service__name"]
    autocomplete_fields = ["service"]
    readonly_fields = ["state", "detail", "asked", "took"]
    actions = ["check_now", "switch_on", "switch_off"]
    change_form_after_template = "services/admin/_ask.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Check]:
        found: QuerySet[Check] = super().get_queryset(request)
        return found.select_related("service")

    # --- The form: that of a kind ---

    def kind_form(self, kind: str, obj: Check | None) -> type[CheckForm]:
        return form_for(kind, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Check | None = None) -> Any:
        kind = self.kind_of(request, obj)
        probe = probes.probe(kind)
        own = [name for name in form_for(kind, obj).base_fields if name not in COMMON]
        sets: list[Any] = [
            (None, {"fields": ["service", ("name", "role"), "kind", "target"]}),
            (
                _("Options of this kind"),
                {
                    "fields": own,
                    "classes": ["kind-fields"],
                    "description": format_html("{}. {}: <code>{}</code>", probe.LABEL, _("Target"), probe.TARGET),
                },
            ),
            (
                _("When, and what counts"),
                {
                    "fields": [
                        ("interval", "timeout", "slow_ms"),
                        ("failure_threshold", "success_threshold", "initial_delay"),
                        ("failing_means", "enabled"),
                    ]
                },
            ),
        ]
        return [*sets, (_("Now"), {"fields": ["state", "detail", ("asked", "took")]})] if obj else sets

    def get_inlines(self, request: HttpRequest, obj: Check | None = None) -> list[type[StackedInline]]:
        return [HeartbeatInline] if obj and obj.kind == self.kind_of(request, obj) == "heartbeat" else []

    def save_model(self, request: HttpRequest, obj: Check, form: CheckForm, change: bool) -> None:
        """It is asked at once; an answer to the old question that is under way doesn't count."""
        super().save_model(request, obj, form, change)
        delay = 0 if change else round(obj.initial_delay * clock.SECOND)
        Check.objects.filter(pk=obj.pk).update(due_at=clock.now() + delay, claim="")
        statuses.settle({obj.service_id, form.initial.get("service") or obj.service_id}, timezone.now())

    # --- What is shown ---

    @admin.display(description=_("result"), ordering="outcome")
    def state(self, check: Check) -> str:
        return outcome_badge(check.outcome)

    @admin.display(description=_("every"), ordering="interval")
    def every(self, check: Check) -> str:
        return f"{check.interval:g} s"

    @admin.display(description=_("asked"), ordering="last_at")
    def asked(self, check: Check) -> str:
        return shown_time(clock.moment(check.last_at)) if check.last_at else ""

    @admin.display(description=_("took"))
    def took(self, check: Check) -> str:
        return "" if check.latency_us is None else f"{check.latency_us / 1_000:.1f} ms"

    # --- Asking ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("try/", view(require_POST(self.try_now)), name="services_check_try"),
            path("<int:pk>/check-now/", view(require_POST(self.ask_now)), name="services_check_now"),
        ]
        return [*own, *super().get_urls()]

    def try_now(self, request: HttpRequest) -> HttpResponse:
        """The check as the form has it now is asked; nothing is saved."""
        key = request.GET.get("row", "")
        row = get_object_or_404(Check, pk=key) if key.isdecimal() else None
        if not (self.has_change_permission(request, row) if row else self.has_add_permission(request)):
            raise PermissionDenied
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        if not form.is_valid():
            return render(request, "services/admin/_asked.html", {"wrong": list(_errors(form))})
        [found] = trying.ask(form.instance)
        return render(request, "services/admin/_asked.html", _shown(found, saved=False))

    def ask_now(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The check as it is stored; the answer counts."""
        if not (self.has_check_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        found = polling.check_now(get_object_or_404(Check, pk=pk))
        return render(request, "services/admin/_asked.html", _shown(found, saved=True))

    @admin.action(description=_("Check now"), permissions=["check"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[Check]) -> None:
        due = make_due(queryset)
        messages.success(
            request, _("Checks that are due now: %(due)d. Their results come within seconds.") % {"due": due}
        )

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Check]) -> None:
        self._switch(queryset, enabled=True)

    @admin.action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Check]) -> None:
        self._switch(queryset, enabled=False)

    def _switch(self, queryset: QuerySet[Check], *, enabled: bool) -> None:
        rows = Check.objects.filter(pk__in=queryset.order_by().values("pk"))
        services = set(rows.values_list("service", flat=True))
        recording.update(rows, {"enabled": enabled}, {"claim": "", "due_at": clock.now()})
        statuses.settle(services, timezone.now())


def _errors(form: forms.Form) -> Iterator[tuple[str, Any]]:
    for name, said in form.errors.items():
        yield (str(form.fields[name].label) if name in form.fields else "", said)


def _shown(found: Measurement, *, saved: bool) -> Mapping[str, Any]:
    parts = [(part, outcome_badge(part.outcome)) for part in found.parts]
    return {"found": found, "badge": outcome_badge(found.outcome), "parts": parts, "saved": saved}


# --- The rest ------------------------------------------------------------------------------------------------------


@admin.register(StatusChange)
class StatusChangeAdmin(ModelAdmin):  # type: ignore[misc]
    """The history: it is added to, never changed."""

    list_display = ["at", "service", "before", "after", "reason"]
    list_filter = ["new", "service__category"]
    list_select_related = ["service"]
    search_fields = ["service__name", "reason"]
    date_hierarchy = "at"
    show_full_result_count = False
    fields = ["service", "at", "noticed_at", "before", "after", "reason", "culprit", "explained_by"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: StatusChange | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: StatusChange | None = None) -> bool:
        return False

    @admin.display(description=_("before"), ordering="old")
    def before(self, change: StatusChange) -> str:
        return status_badge(change.old)

    @admin.display(description=_("after"), ordering="new")
    def after(self, change: StatusChange) -> str:
        return status_badge(change.new)


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["name", "starts_at", "ends_at", "cron", "minutes", "everything"]
    list_filter = ["everything"]
    search_fields = ["name", "comment", "services__name"]
    autocomplete_fields = ["services"]
    date_hierarchy = "starts_at"

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Who was in the window and who is in it now are judged anew at once."""
        before = set(form.instance.services.values_list("pk", flat=True))
        super().save_related(request, form, formsets, change)
        window = form.instance
        inside = Service.objects.all() if window.everything else window.services
        statuses.settle(before | set(inside.values_list("pk", flat=True)), timezone.now())
