"""Pages of the rules' admin beside list and form: import and export. The admin has checked access."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from alerts import packs, rules_yaml
from alerts.models import AlertRule
from core.pages import shell
from core.secrets import SecretError, decrypt, encrypt
from services.admin_pages import METHODS, FileForm, person_of

IMPORT: Final = ("alerts.add_alertrule", "alerts.change_alertrule")
LIST: Final = "admin:alerts_alertrule_changelist"


class YamlForm(FileForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["file"].label = _("File, YAML")


def bring(request: HttpRequest) -> HttpResponse:
    """A file is looked at; then shown is what would be made; then it is made, all or nothing."""
    if request.method not in METHODS:
        return HttpResponseNotAllowed(METHODS)
    if "token" in request.POST:
        return _carry_out(request)
    if "missing" in request.POST:
        messages.success(request, _("Rules brought back: %(done)d.") % {"done": packs.install()})
        return redirect(LIST)
    form = YamlForm(request.POST or None, request.FILES or None)
    if request.method != "POST" or not form.is_valid():
        return _import_page(request, form=form)
    given = form.cleaned_data["file"]
    # One byte more than may be is enough to refuse it.
    content = given.read(rules_yaml.FILE_MAX + 1) if given else form.cleaned_data["text"].encode("utf-8", "replace")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        problems = [rules_yaml.Problem(0, "expected text in UTF-8")]
        return _import_page(request, plan=rules_yaml.Plan([], problems, []), token="")
    plan = rules_yaml.make_plan(rules_yaml.read(text))
    return _import_page(request, plan=plan, token="" if plan.problems else encrypt(text))


def _carry_out(request: HttpRequest) -> HttpResponse:
    try:
        text = decrypt(request.POST["token"])
    except SecretError:
        messages.error(request, _("This page is too old: choose the file again."))
        return _import_page(request, form=YamlForm())
    try:
        plan = rules_yaml.carry_out(rules_yaml.read(text), by=person_of(request))
    except rules_yaml.RefusedError as refused:
        # Somebody changed something meanwhile.
        return _import_page(request, plan=rules_yaml.Plan([], refused.problems, []), token="")
    messages.success(
        request, _("Imported: %(make)d made, %(change)d changed, %(leave)d left as they were.") % plan.counts
    )
    return redirect(LIST)


def _import_page(request: HttpRequest, **context: Any) -> HttpResponse:
    context |= {"max": rules_yaml.FILE_MAX, "back": reverse(LIST)}
    return render(request, "alerts/admin/import.html", shell(request, "Import rules", **context))


def take(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    rules = AlertRule.objects.prefetch_related("receivers").select_related("escalation")
    answer = HttpResponse(rules_yaml.write(rules), content_type="application/yaml")
    answer["Content-Disposition"] = 'attachment; filename="rules.yaml"'
    return answer
