"""Pages of the services' admin beside lists and forms: add by address, import, export. The admin has checked access."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from core import clock
from core.pages import shell
from core.secrets import SecretError, decrypt, encrypt
from services import transfer
from services.guess import ADDRESS_MAX, Guess, explore, guess
from services.models import Category, Check, Service
from services.status import Outcome

IMPORT: Final = ("services.add_service", "services.change_service", "services.add_check", "services.change_check")
EXPORT: Final = ("services.view_service", "services.view_check")
LIST: Final = "admin:services_service_changelist"
METHODS: Final = ("GET", "HEAD", "POST")


def person_of(request: HttpRequest) -> User:
    """Who is logged in: the admin lets in nobody else."""
    assert isinstance(request.user, User)
    return request.user


# --- Add by address ------------------------------------------------------------------------------------------------


class AddressForm(forms.Form):
    # Not sent back: there may be a password in it.
    address = forms.CharField(
        max_length=ADDRESS_MAX,
        label=_("Address"),
        widget=UnfoldAdminTextInputWidget(
            attrs={"autofocus": True, "spellcheck": "false", "autocomplete": "off", "placeholder": "https://…"}
        ),
    )


class ProposalForm(forms.Form):
    """What will be made. `proposal` is encrypted: passwords of the address are in it."""

    name = forms.CharField(max_length=100, label=_("Name"), widget=UnfoldAdminTextInputWidget())
    category = forms.ChoiceField(choices=Category.choices, label=_("Category"), widget=UnfoldAdminSelectWidget())
    proposal = forms.CharField(widget=forms.HiddenInput)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Service.objects.filter(name=name).exists():
            raise ValidationError(_("There is a service of this name: choose another one, or add a check to that one."))
        return name

    def clean_proposal(self) -> Guess:
        try:
            return msgspec.json.decode(decrypt(self.cleaned_data["proposal"]), type=Guess)
        except (SecretError, msgspec.DecodeError):
            raise ValidationError(_("This page is too old: begin again with the address.")) from None


def by_url(request: HttpRequest) -> HttpResponse:
    """The address is asked for; then shown is what will be made; then it is made."""
    if request.method not in METHODS:
        return HttpResponseNotAllowed(METHODS)
    if "proposal" in request.POST:
        return _make(request)
    form = AddressForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _by_url_page(request, form=form)
    try:
        found = explore(guess(form.cleaned_data["address"]))
    except ValueError as error:
        form.add_error("address", f"{str(error)[:1].upper()}{str(error)[1:]}.")
        form.data = {}  # there may be a password in it
        return _by_url_page(request, form=form)
    token = encrypt(msgspec.json.encode(found).decode())
    initial = {"name": found.name, "category": found.category, "proposal": token}
    return _by_url_page(request, proposal=found, form=ProposalForm(initial=initial))


def _make(request: HttpRequest) -> HttpResponse:
    form = ProposalForm(request.POST)
    valid = form.is_valid()
    found = form.cleaned_data.get("proposal")
    if found is None:
        messages.error(request, _("This page is too old: begin again with the address."))
        return _by_url_page(request, form=AddressForm())
    if not valid:
        return _by_url_page(request, proposal=found, form=form)
    chosen = request.POST.getlist("check")
    service = Service(name=form.cleaned_data["name"], category=form.cleaned_data["category"])
    now = clock.now()
    checks = [
        Check(
            service=service, name=each.name, kind=each.kind, target=each.target, role=each.role, options=each.options,
            secrets=each.secrets, due_at=now,
        )
        for each in found.checks
        if each.name in chosen
    ]  # fmt: skip
    try:
        service.full_clean()
        for check in checks:
            check.full_clean(exclude=["service"])
    except ValidationError as error:
        form.add_error(None, ValidationError(error.messages))
        return _by_url_page(request, proposal=found, form=form)
    with transaction.atomic():
        service.save()
        for check in checks:
            check.service = service
            check.save()
        person = person_of(request)
        LogEntry.objects.log_actions(person.pk, [service], ADDITION, "Added by its address.", single_object=True)
    messages.success(request, _("Added. The first results come within seconds."))
    return redirect("admin:services_service_change", service.pk)


def _by_url_page(request: HttpRequest, **context: Any) -> HttpResponse:
    proposal = context.get("proposal")
    if proposal:
        outcomes = [None if each.outcome is None else Outcome(each.outcome) for each in proposal.checks]
        context["proposed"] = list(zip(proposal.checks, outcomes, strict=True))
        context["chosen"] = request.POST.getlist("check") if "proposal" in request.POST else None
    return render(
        request,
        "services/admin/by_url.html",
        {**shell(request, "Add by address"), **context},
    )


# --- Import --------------------------------------------------------------------------------------------------------


class FileForm(forms.Form):
    file = forms.FileField(required=False, label=_("File, YAML or CSV"))
    text = forms.CharField(
        required=False,
        label=_("or paste it"),
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false"}),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not cleaned.get("file") and not (cleaned.get("text") or "").strip():
            raise ValidationError(_("Expected a file, or text below it."))
        return cleaned


def bring(request: HttpRequest) -> HttpResponse:
    """A file is looked at; then shown is what would be made; then it is made, all or nothing."""
    if request.method not in METHODS:
        return HttpResponseNotAllowed(METHODS)
    if "token" in request.POST:
        return _carry_out(request)
    form = FileForm(request.POST or None, request.FILES or None)
    if request.method != "POST" or not form.is_valid():
        return _import_page(request, form=form)
    given = form.cleaned_data["file"]
    # One byte more than may be is enough to refuse it.
    content = given.read(transfer.FILE_MAX + 1) if given else form.cleaned_data["text"].encode("utf-8", "replace")
    name = given.name or "" if given else ""
    plan = transfer.make_plan(transfer.read(content, name))
    token = "" if plan.problems else encrypt(msgspec.json.encode([name, content.decode("utf-8-sig")]).decode())
    return _import_page(request, plan=plan, token=token)


def _carry_out(request: HttpRequest) -> HttpResponse:
    try:
        name, text = msgspec.json.decode(decrypt(request.POST["token"]), type=tuple[str, str])
    except (SecretError, msgspec.DecodeError):
        messages.error(request, _("This page is too old: choose the file again."))
        return _import_page(request, form=FileForm())
    try:
        plan = transfer.carry_out(transfer.read(text.encode(), name), by=person_of(request))
    except transfer.Refused as refused:
        # Somebody changed something meanwhile.
        return _import_page(request, plan=transfer.Plan([], refused.problems, [], []), token="")
    counts = plan.counts
    messages.success(
        request,
        _("Imported: %(make)d made, %(change)d changed, %(leave)d left as they were.") % counts,
    )
    if plan.missing:
        messages.warning(request, _("Secrets to be entered now: %(missing)s.") % {"missing": ", ".join(plan.missing)})
    return redirect(LIST)


def _import_page(request: HttpRequest, **context: Any) -> HttpResponse:
    context |= {"max": transfer.FILE_MAX, "back": reverse(LIST)}
    return render(request, "services/admin/import.html", shell(request, "Import services", **context))


# --- Export --------------------------------------------------------------------------------------------------------


def take(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    kind = request.GET.get("format", "")
    if kind not in transfer.FORMATS:
        counts = {"services": Service.objects.count(), "checks": Check.objects.count()}
        context = shell(request, "Export services", **counts)
        return render(request, "services/admin/export.html", context)
    answer = HttpResponse(transfer.write(kind), content_type="text/csv" if kind == "csv" else "application/yaml")
    answer["Content-Disposition"] = f'attachment; filename="services.{kind}"'
    return answer
