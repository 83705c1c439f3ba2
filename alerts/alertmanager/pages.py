"""Pages of the routes' admin: alertmanager.yml in and out. The admin has checked access."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _

from alerts.alertmanager import exporting, importing
from alerts.alertmanager.config import FILE_MAX, ConfigError
from core.pages import shell
from core.secrets import SecretError, decrypt, encrypt
from services.admin_pages import METHODS, FileForm, person_of

MODELS: Final = ("route", "receiver", "channel", "inhibitrule", "mutetime")
IMPORT: Final = (
    *(f"alerts.{verb}_{model}" for model in MODELS for verb in ("add", "change")),
    "alerts.delete_route",
)
EXPORT: Final = tuple(f"alerts.view_{model}" for model in MODELS)
LIST: Final = "admin:alerts_route_changelist"


class ConfigForm(FileForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["file"].label = _("alertmanager.yml")


def bring(request: HttpRequest) -> HttpResponse:
    """A file is looked at; then shown is what would be made; then it is made, all or nothing."""
    if request.method not in METHODS:
        return HttpResponseNotAllowed(METHODS)
    if "token" in request.POST:
        return _carry_out(request)
    form = ConfigForm(request.POST or None, request.FILES or None)
    if request.method != "POST" or not form.is_valid():
        return _page(request, form=form)
    given = form.cleaned_data["file"]
    content = given.read(FILE_MAX + 1) if given else form.cleaned_data["text"].encode("utf-8", "replace")
    try:
        text = importing.text_of(content)
        return _page(request, report=importing.plan(text), token=encrypt(text))
    except ConfigError as error:
        return _page(request, wrong=str(error))


def _carry_out(request: HttpRequest) -> HttpResponse:
    try:
        report = importing.carry_out(decrypt(request.POST["token"]), by=person_of(request))
    except SecretError:
        messages.error(request, _("This page is too old: choose the file again."))
        return _page(request, form=ConfigForm())
    except ConfigError as error:
        # Somebody changed something meanwhile.
        return _page(request, wrong=str(error))
    done = _("Imported: %(make)d made, %(change)d changed, %(leave)d left as they were, %(drop)d dropped.")
    messages.success(request, done % report.counts)
    for warning in report.warnings:
        messages.warning(request, warning)
    return redirect(LIST)


def _page(request: HttpRequest, **context: Any) -> HttpResponse:
    whole = {**shell(request, "Import alertmanager.yml"), "max": FILE_MAX, **context}
    return render(request, "alerts/admin/alertmanager_import.html", whole)


def take(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    answer = HttpResponse(exporting.export().text, content_type="application/yaml")
    answer["Content-Disposition"] = 'attachment; filename="alertmanager.yml"'
    return answer
