"""`/silences/`: those in force, those to come, those that ended; a new one with what it would hit; edit, and end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts import visibility
from alerts import matchers, silences, visible
from alerts.expiry import AHEAD
from alerts.matchers import Matcher, MatcherError
from alerts.models import Alert, Silence
from alerts.models.alerts import State
from alerts.routing_forms import DurationField, matchers_field
from core.pages import requires, shell
from services.durations import words

READ: Final = ("alerts.view_silence", "alerts.view_alert")
CHANGE: Final = "alerts.add_silence"
LISTED_MAX: Final = 500
ENDED_FOR: Final = timedelta(days=7)  # how long those that are over are listed
LONGEST: Final = 366 * 86_400  # seconds
ALERTS_MAX: Final = 5_000  # that are looked at to count hits
NOT_OWN: Final = _('Expected a service that you see among them, like service="shop" or service=~"shop|cart".')


class SilenceForm(forms.Form):
    matchers = matchers_field(_("Alerts that match"), required=True)
    starts_at = forms.DateTimeField(
        required=False,
        label=_("From"),
        help_text=_("Empty is now."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
    )
    lasts = DurationField(
        label=_("For"),
        initial="2h",
        help_text=_("Like 30m, 2h or 3d, from its start."),
        widget=UnfoldAdminTextInputWidget(attrs={"spellcheck": "false"}),
    )
    comment = forms.CharField(max_length=1_000, label=_("Why"), widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))

    def clean_matchers(self) -> list[str]:
        try:
            found = [each for line in self.cleaned_data["matchers"] for each in matchers.split(line)]
        except MatcherError as error:
            raise ValidationError(str(error)) from None
        if not visible.are_own(found):
            raise ValidationError(NOT_OWN)
        return [str(each) for each in found]

    def clean_lasts(self) -> float:
        seconds = self.cleaned_data["lasts"]
        if not seconds or seconds > LONGEST:
            raise ValidationError(_("Expected more than nothing, and at most a year."))
        found: float = seconds
        return found

    def silence(self, by: User, now: datetime) -> Silence:
        """Raises ValidationError."""
        begins = max(self.cleaned_data["starts_at"] or now, now)
        ends = begins + timedelta(seconds=self.cleaned_data["lasts"])
        return silences.create(
            self.cleaned_data["matchers"], begins, ends, by=by, comment=self.cleaned_data["comment"], now=now
        )


# --- The list --------------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@requires(*READ)
def page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    rows = list(visible.silences(Silence.objects.filter(ends_at__gt=now - ENDED_FOR)).order_by("-ends_at")[:LISTED_MAX])
    firing = _firing()
    shown = [_shown(row, firing, now) for row in rows]
    current = [each for each in shown if each["state"] != "expired"]
    context = {
        "current": sorted(current, key=lambda each: (each["state"] != "active", each["row"].ends_at)),
        "ended": [each for each in shown if each["state"] == "expired"],
        "soon": _warning(shown),
        "may_change": request.user.has_perm(CHANGE),
        "limited": visibility.current().limited,
    }
    return render(request, "alerts/silences.html", shell(request, "Silences", **context))


def _firing() -> list[dict[str, str]]:
    return list(visible.alerts(Alert.objects.filter(state=State.FIRING)).values_list("labels", flat=True)[:ALERTS_MAX])


COLOURS: Final = {"active": "green", "pending": "blue", "expired": "grey"}
WORDS: Final = {"active": "in force", "pending": "not yet", "expired": "ended"}


def _shown(row: Silence, firing: Sequence[dict[str, str]], now: datetime) -> dict[str, Any]:
    state = state_of(row, now)
    wanted = matchers.parse_all(row.matchers)
    hits = sum(matchers.all_match(wanted, labels) for labels in firing) if state != "expired" else 0
    left = row.ends_at - now
    return {
        "row": row,
        "state": state,
        "word": WORDS[state],
        "colour": COLOURS[state],
        "hits": hits,
        "soon": state == "active" and bool(hits) and left < AHEAD,
        "left_words": words(left),
    }


def _warning(shown: Sequence[dict[str, Any]]) -> str:
    soon = [each for each in shown if each["soon"]]
    if not soon:
        return ""
    ends = "A silence ends" if len(soon) == 1 else f"{len(soon)} silences end"
    return (
        f"{ends} within the hour, while alerts that it hits still fire: then they are told."
        if len(soon) == 1
        else (f"{ends} within the hour, while alerts that they hit still fire: then those are told.")
    )


def state_of(row: Silence, now: datetime) -> str:
    if row.ends_at <= now:
        return "expired"
    return "pending" if row.starts_at > now else "active"


# --- A new one, or another one instead of it -------------------------------------------------------------------------


@never_cache
@requires(CHANGE)
def new(request: HttpRequest) -> HttpResponse:
    """`?alert=<id>` begins with an alert's labels, `?matchers=…` with these, `?from=<id>` with an older silence."""
    if request.method == "POST":
        return _make(request, None)
    return _form_page(request, SilenceForm(initial=_initial(request)))


@never_cache
@requires(CHANGE)
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A silence is never changed: this one ends, and another one begins."""
    row = get_object_or_404(visible.silences(Silence.objects.all()), pk=pk)
    now = timezone.now()
    if row.ends_at <= now:
        return redirect(f"{reverse('alerts:silence-new')}?from={row.pk}")
    if request.method == "POST":
        return _make(request, row)
    return _form_page(request, SilenceForm(initial=_as_initial(row, now)), row)


def _make(request: HttpRequest, old: Silence | None) -> HttpResponse:
    form = SilenceForm(request.POST)
    now = timezone.now()
    if form.is_valid():
        person = request.user
        assert isinstance(person, User)
        try:
            with transaction.atomic():
                if old:
                    silences.expire(old, by=person, now=now)
                made = form.silence(person, now)
        except ValidationError as error:
            form.add_error(None, ValidationError(error.messages))
        else:
            until = timezone.localtime(made.ends_at)
            messages.success(
                request, f"Alerts that match {', '.join(made.matchers)} are silent until {until:%Y-%m-%d %H:%M}."
            )
            return redirect("alerts:silences")
    return _form_page(request, form, old)


def _form_page(request: HttpRequest, form: SilenceForm, row: Silence | None = None) -> HttpResponse:
    context = {"form": form, "row": row, **_preview(_given_matchers(form))}
    title = "Silences › Change" if row else "Silences › New"
    return render(request, "alerts/silence.html", shell(request, title, **context))


def _given_matchers(form: SilenceForm) -> Sequence[str]:
    given = form["matchers"].value()
    return given.splitlines() if isinstance(given, str) else given or []


@require_safe
@never_cache
@requires(CHANGE)
def preview(request: HttpRequest) -> HttpResponse:
    """What a silence with these matchers would hit now."""
    lines = request.GET.get("matchers", "")[:100_000].splitlines()
    return render(request, "alerts/silence.html#preview", _preview(lines))


def _preview(lines: Sequence[str]) -> dict[str, Any]:
    try:
        wanted = [each for line in lines if line.strip() for each in matchers.split(line)]
    except MatcherError as error:
        return {"wrong": str(error)}
    if not wanted:
        return {"nothing": True}
    if all(each.matches({}) for each in wanted):
        return {"wrong": "These would hit everything: at least one has to ask for some value."}
    if not visible.are_own(wanted):
        return {"wrong": NOT_OWN}
    return {"hits": silences.hits(wanted)}


def _initial(request: HttpRequest) -> dict[str, Any]:
    given = request.GET
    shown = visible.alerts(Alert.objects.all())
    if (key := given.get("alert", "")).isdecimal() and len(key) < 19 and (row := shown.filter(pk=key).first()):
        return {"matchers": [str(Matcher(name, value)) for name, value in sorted(row.labels.items())]}
    if old := _silence(given.get("from", "")):
        lasts = (old.ends_at - old.starts_at).total_seconds()
        return {"matchers": old.matchers, "lasts": max(lasts, 60), "comment": old.comment}
    return {"matchers": given.get("matchers", "")[:100_000]}


def _silence(key: str) -> Silence | None:
    try:
        return visible.silences(Silence.objects.all()).filter(pk=UUID(key)).first()
    except ValueError:
        return None


def _as_initial(row: Silence, now: datetime) -> dict[str, Any]:
    begins = max(row.starts_at, now)
    return {
        "matchers": row.matchers,
        "starts_at": f"{timezone.localtime(row.starts_at):%Y-%m-%dT%H:%M}" if row.starts_at > now else "",
        # To the minute: what is left of it.
        "lasts": max((row.ends_at - begins) // timedelta(minutes=1), 1) * 60,
        "comment": row.comment,
    }


@require_POST
@never_cache
@requires(CHANGE)
def expire(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = get_object_or_404(visible.silences(Silence.objects.all()), pk=pk)
    person = request.user
    assert isinstance(person, User)
    if silences.expire(row, by=person):
        messages.success(request, f"The silence for {', '.join(row.matchers)} has ended.")
    return redirect("alerts:silences")
