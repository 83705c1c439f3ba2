"""Docker hosts in the admin: where an engine is, how it is reached, and whether it answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from core.secrets import Lost
from services import containers
from services.models import DockerHost

PEMS: Final = {
    "ca": _("certificate of the authority (CA)"),
    "cert": _("own certificate"),
    "key": _("own key"),
}
TRIED_MAX: Final = 10  # hosts of one "Test connection": each may take some seconds


class DockerHostForm(forms.ModelForm):  # type: ignore[type-arg]
    """Certificates are written and never shown again: a field that is left empty keeps what is stored."""

    ca = forms.CharField(required=False, label=PEMS["ca"], widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))
    cert = forms.CharField(required=False, label=PEMS["cert"], widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))
    key = forms.CharField(required=False, label=PEMS["key"], widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))
    forget_certificates = forms.BooleanField(
        required=False, label=_("Forget the stored certificates"), widget=UnfoldBooleanSwitchWidget()
    )

    class Meta:
        model = DockerHost
        fields = ["name", "address", "ports_at", "enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = self.instance.tls
        for name in PEMS:
            if stored.get(name):
                self.fields[name].help_text = _("Stored, and not shown again. Leave it empty to keep it.")
        if isinstance(stored, Lost):
            self.fields["ca"].help_text = stored.reason

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        stored = {} if cleaned.get("forget_certificates") else dict(self.instance.tls)
        given = {name: cleaned[name].strip() + "\n" for name in PEMS if cleaned.get(name, "").strip()}
        self.tls = {**stored, **given}
        if "address" in cleaned:
            from services.docker_client import EngineError, check_address

            try:
                check_address(cleaned["address"], self.tls)
            except EngineError as error:
                self.add_error("address", f"{error}."[0].upper() + f"{error}."[1:])
        return cleaned

    def save(self, commit: bool = True) -> DockerHost:
        # What could not be decrypted stays as it is until somebody enters it anew.
        if self.tls or self.cleaned_data.get("forget_certificates") or not isinstance(self.instance.tls, Lost):
            self.instance.tls = self.tls
        saved: DockerHost = super().save(commit)
        return saved


@admin.register(DockerHost)
class DockerHostAdmin(ModelAdmin):  # type: ignore[misc]
    form = DockerHostForm
    list_display = ["name", "address", "enabled", "state", "running", "seen_at"]
    list_filter = ["enabled", "away"]
    search_fields = ["name", "address"]
    readonly_fields = ["state", "seen_at"]
    fieldsets = [
        (None, {"fields": ["name", "address", "ports_at", "enabled"]}),
        (_("Certificates, for tcp:// with TLS"), {"fields": ["ca", "cert", "key", "forget_certificates"]}),
        (_("Now"), {"fields": ["state", "seen_at"]}),
    ]
    actions = ["test_connection"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DockerHost]:
        there = Q(containers__removed_at=None, containers__state="running")
        found: QuerySet[DockerHost] = super().get_queryset(request).annotate(run=Count("containers", filter=there))
        return found

    @admin.display(description=_("state"))
    def state(self, host: DockerHost) -> str:
        if not host.enabled:
            return str(_("switched off"))
        if host.away:
            return str(_("away: %(why)s") % {"why": host.detail})
        return host.detail or str(_("not asked yet"))

    @admin.display(description=_("containers that run"), ordering="run")
    def running(self, host: DockerHost) -> int:
        return getattr(host, "run", 0)

    def has_test_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("services.change_dockerhost")

    @admin.action(description=_("Test connection"), permissions=["test"])
    def test_connection(self, request: HttpRequest, queryset: QuerySet[DockerHost]) -> None:
        from services.docker_client import EngineError

        for host in queryset[:TRIED_MAX]:
            try:
                messages.success(request, f"{host.name}: {containers.test_connection(host)}")
            except EngineError as error:
                messages.error(request, f"{host.name}: {error}.")

    def save_model(self, request: HttpRequest, obj: DockerHost, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        containers.refresh(obj)

    def get_deleted_objects(
        self, objs: Iterable[DockerHost], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Not each of the samples, which may be a million."""
        hosts = DockerHost.objects.filter(pk__in=[host.pk for host in objs]).annotate(count=Count("containers"))
        told = [f"{host}, with {host.count} containers and their history" for host in hosts]
        return told, {"Docker hosts": len(told)}, set(), []

    def delete_model(self, request: HttpRequest, obj: DockerHost) -> None:
        containers.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[DockerHost]) -> None:
        for host in queryset:
            containers.remove(host)
