"""First steps: what a new installation is asked, once: what to watch, how much comes, who may read, how long lines are
kept. It writes what can be written, shows the lines to set for the rest, and waits for the first line and check.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.preferences import choose_zone
from core import clock
from core.pages import requires, shell
from logs import connect, retention
from logs.models import LogSource, RetentionRule
from monitor import time_zone
from services import visible
from services.guess import Guess, explore, guess
from services.models import Check, CheckResult, DockerHost, Service
from services.status import Outcome

ADD: Final = "services.add_service"
DOCKER: Final = Path("/var/run/docker.sock")
LOGS: Final = Path("/var/log")
ADDRESSES_MAX: Final = 10
DAYS: Final = (7, 30, 90, 365, 0)
BYTES_A_LINE: Final = 100  # on the disk, with what makes them searchable: docs/benchmarks.md, with room
MINUTES_KEPT: Final = 1  # of lines that the stream keeps after they are stored
WRITTEN: Final = "first_steps_written"  # in the session


class Volume(NamedTuple):
    lines: int  # a day
    label: str


VOLUMES: Final = (
    Volume(100_000, "up to 100,000 lines a day: some small services"),
    Volume(1_000_000, "up to a million: the services of a team"),
    Volume(10_000_000, "up to ten millions: many requests"),
    Volume(100_000_000, "more, up to a hundred millions"),
)


class FirstStepsForm(forms.Form):
    addresses = forms.CharField(
        required=False,
        label=_("Addresses to watch"),
        help_text=_("One in each line, ten at most. Each becomes a service that is asked every five seconds."),
        widget=UnfoldAdminTextareaWidget(
            attrs={
                "rows": 3,
                "spellcheck": "false",
                "placeholder": "https://shop.example.org\ntcp://mail.example.org:25",
            }
        ),
    )
    docker = forms.BooleanField(
        required=False,
        label=_("The containers of this machine"),
        help_text=_("Their state, restarts, memory, and their lines, through /var/run/docker.sock."),
        widget=UnfoldBooleanSwitchWidget(),
    )
    machine = forms.BooleanField(
        required=False,
        label=_("The log files of this machine"),
        help_text=_("/var/log/*.log, as far as Pharos may read them."),
        widget=UnfoldBooleanSwitchWidget(),
    )
    volume = forms.TypedChoiceField(
        coerce=int,
        initial=VOLUMES[0].lines,
        choices=[(each.lines, each.label) for each in VOLUMES],
        label=_("How many lines will come?"),
        widget=UnfoldAdminRadioSelectWidget(),
    )
    days = forms.TypedChoiceField(
        coerce=int,
        choices=[(days, f"{days} days" if days else "for ever") for days in DAYS],
        label=_("For how long are they kept?"),
        widget=UnfoldAdminSelectWidget(),
    )
    access = forms.ChoiceField(
        initial="login",
        choices=[
            ("login", _("only who signs in")),
            ("internal", _("everybody in an internal network")),
        ],
        label=_("Who may read?"),
        widget=UnfoldAdminRadioSelectWidget(),
    )
    time_zone = forms.ChoiceField(required=False, label=_("Your time zone"), widget=UnfoldAdminSelectWidget())

    def __init__(self, request: HttpRequest) -> None:
        initial = {"days": _days_now(), "time_zone": time_zone.chosen(request)}
        super().__init__(request.POST if request.method == "POST" else None, initial=initial)
        self.fields["time_zone"].choices = time_zone.choices(request)  # type: ignore[attr-defined]
        may = request.user.has_perm
        there = {
            "docker": DOCKER.exists() and may("services.add_dockerhost"),
            "machine": LOGS.is_dir() and may("logs.add_logsource"),
            "days": may("logs.add_retentionrule") and may("logs.change_retentionrule"),
        }
        for name in (name for name, shown in there.items() if not shown):
            del self.fields[name]

    def clean_addresses(self) -> list[Guess]:
        lines = [line.strip() for line in self.cleaned_data["addresses"].splitlines() if line.strip()]
        if len(lines) > ADDRESSES_MAX:
            raise ValidationError(_("Expected at most ten addresses; the list of services takes files of them."))
        found, problems = [], []
        for number, line in enumerate(lines, 1):
            try:
                found.append(guess(line))
            except ValueError as error:
                problems.append(f"Line {number}: {error}.")
        if problems:
            raise ValidationError(problems)
        return found


def _days_now() -> int:
    now = retention.defaults(RetentionRule.objects.filter(service=retention.EVERY)).days
    return now if now in DAYS else settings.LOG_RETENTION_DAYS


# --- What is written ----------------------------------------------------------------------------------------------


def write(chosen: dict[str, Any]) -> list[str]:
    """Makes what was asked for and isn't there yet; a sentence for each."""
    with ThreadPoolExecutor(ADDRESSES_MAX) as pool:
        proposals = list(pool.map(explore, chosen["addresses"]))
    with transaction.atomic():
        return [
            *(_watch(proposal) for proposal in proposals),
            *(_docker() if chosen.get("docker") else ()),
            *(_files() if chosen.get("machine") else ()),
            *(_keep(chosen["days"]) if "days" in chosen else ()),
        ]


def _watch(proposal: Guess) -> str:
    name, number = proposal.name, 2
    while Service.objects.filter(name=name).exists():
        name, number = f"{proposal.name[:90]}-{number}", number + 1
    service = Service.objects.create(name=name, category=proposal.category)
    for each in proposal.checks:
        check = Check(service=service, name=each.name, kind=each.kind, target=each.target, role=each.role)
        check.options, check.secrets = each.options, dict(each.secrets)
        check.due_at = clock.now()
        check.save()
    return f"The service {name} is watched: {', '.join(f'{each.name} at {each.target}' for each in proposal.checks)}."


def _docker() -> Iterator[str]:
    address = f"unix://{DOCKER}"
    if not DockerHost.objects.filter(address=address).exists():
        DockerHost.objects.create(name="this machine", address=address)
        yield "The containers of this machine are watched."
    if LogSource.objects.get_or_create(kind=LogSource.Kind.DOCKER, name=address)[1]:
        yield "The lines of its containers are read."


def _files() -> Iterator[str]:
    if LogSource.objects.get_or_create(kind=LogSource.Kind.FILES, name=f"{LOGS}/*.log")[1]:
        yield f"{LOGS}/*.log is read."


def _keep(days: int) -> Iterator[str]:
    if days == _days_now():
        return
    RetentionRule.objects.update_or_create(
        service=retention.EVERY, lines=RetentionRule.Lines.ALL, defaults={"days": days, "comment": "First steps"}
    )
    yield f"Lines are kept {f'for {days} days' if days else 'for ever'}."


def advice(lines: int, days: int, access: str) -> list[tuple[str, str]]:
    """What only environment variables say: each line, and why."""
    found = []
    disk = lines * BYTES_A_LINE * (days or 365)
    budget = -(-disk // (1 << 30)) * (1 << 30)
    kept = f"{days} days" if days else "a year"
    found.append(
        (
            f"PHAROS_LOG_DISK_MAX_BYTES={budget}",
            f"{lines:,} lines a day take about {_size(disk)} in {kept}; with this limit the oldest lines go before "
            "the disk is full.",
        )
    )
    entries = lines * MINUTES_KEPT // (24 * 60)
    if entries > settings.LOG_STREAM_MAXLEN:
        found.append(
            (
                f"PHAROS_LOG_STREAM_MAXLEN={-(-entries // 10_000) * 10_000}",
                "So Redis keeps the last minute of stored lines.",
            )
        )
    if access == "internal":
        found.append(
            (
                "PHAROS_ANONYMOUS_READ=1",
                "Who reaches this address then reads without signing in. Changing needs a sign-in.",
            )
        )
    return found


def _size(size: int) -> str:
    return filesizeformat(size).replace("\xa0", " ")


# --- Pages --------------------------------------------------------------------------------------------------------


@never_cache
@requires(ADD)
def page(request: HttpRequest) -> HttpResponse:
    form = FirstStepsForm(request)
    if not form.is_valid():
        context = shell(request, "First steps", form=form)
        return render(request, "first_steps.html", context, status=400 if form.is_bound else 200)
    chosen = form.cleaned_data
    began = clock.now()
    choose_zone(request, chosen["time_zone"])
    request.session[WRITTEN] = {
        "said": write(chosen),
        "advice": advice(chosen["volume"], chosen.get("days", settings.LOG_RETENTION_DAYS), chosen["access"]),
    }
    return redirect(f"{reverse('first-steps-begun')}?since={began}")


@require_safe
@never_cache
@requires(ADD)
def begun(request: HttpRequest) -> HttpResponse:
    written = request.session.get(WRITTEN) or {"said": [], "advice": []}
    context = shell(
        request, "First steps", url=request.build_absolute_uri("/").rstrip("/"), **written, **_came(request)
    )
    return render(request, "first_steps_begun.html", context)


@require_safe
@never_cache
@requires(ADD)
def waiting(request: HttpRequest) -> HttpResponse:
    """Whether the first line and the first check have come, as a fragment that asks again until both have."""
    return render(request, "first_steps_begun.html#waiting", _came(request))


def _came(request: HttpRequest) -> dict[str, Any]:
    since = request.GET.get("since", "")
    began = int(since) if since.isascii() and since.isdigit() and len(since) < 19 else clock.now()
    line = connect.first_line(connect.OURS, began) if request.user.has_perm(connect.READ) else None
    seen = Check.objects.filter(enabled=True).exclude(service__in=visible.hidden_services())
    checks = list(seen.order_by("-pk").values_list("pk", flat=True)[:ADDRESSES_MAX])
    results = CheckResult.objects.filter(service_check__in=checks, at__gte=began)
    check = results.select_related("service_check__service").order_by("at").first()
    return {
        "began": began,
        "line": line,
        "line_at": clock.moment(line.received) if line else None,
        "check": check,
        "check_at": clock.moment(check.at) if check else None,
        "outcome": Outcome(check.outcome).label if check else "",
        "watches": bool(checks),
    }
