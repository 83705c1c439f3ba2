"""The page on which somebody chooses the time zone that their pages show."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.preferences import Preferences, choose_zone
from core import timezone
from core.pages import shell


def choices(request: HttpRequest) -> list[tuple[str, Any]]:
    browser = request.COOKIES.get(timezone.COOKIE, "")
    named = f" ({browser})" if browser in timezone.known() else ""
    return [("", _("As the browser says") + named), *((name, name) for name in sorted(timezone.known()))]


def chosen(request: HttpRequest) -> str:
    assert isinstance(request.user, User)
    return Preferences.objects.filter(user=request.user).values_list("time_zone", flat=True).first() or ""


class ZoneForm(forms.Form):
    time_zone = forms.ChoiceField(
        required=False,
        label=_("Time zone"),
        help_text=_("Of all times on pages. Other browsers take it when you sign in there again."),
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.POST if request.method == "POST" else None, initial={"time_zone": chosen(request)})
        self.fields["time_zone"].choices = choices(request)  # type: ignore[attr-defined]


@never_cache
@login_required
def page(request: HttpRequest) -> HttpResponse:
    form = ZoneForm(request)
    if form.is_valid():
        choose_zone(request, form.cleaned_data["time_zone"])
        messages.success(request, _("Saved."))
        return redirect("time-zone")
    return render(
        request, "account/time_zone.html", shell(request, "Time zone", form=form, zone=get_current_timezone_name())
    )
