"""Rules: their form with what they would have done, switching them on and off, their state and their history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import action

from alerts import conditions, evaluating, packs, rule_pages, rules
from alerts.models import AlertRule
from alerts.models.alerts import State
from alerts.preview import Preview, preview
from alerts.rule_form import COMMON, LIMITS, RUNBOOK, RuleForm, form_for
from alerts.severity import Severity
from core import clock
from core.kind_admin import KindAdmin
from core.pages import shell
from services.admin import badge, shown_time
from services.admin_pages import person_of

COLOURS: Final = {
    Severity.CRITICAL: "red", Severity.HIGH: "yellow", Severity.MEDIUM: "blue", Severity.LOW: "grey",
    Severity.INFO: "grey",
}  # fmt: skip
CHANGE: Final = "admin:alerts_alertrule_change"
ALERTS_SHOWN: Final = 20
CONDITION_SHOWN: Final = 150  # characters in the list


@admin.register(AlertRule)
class AlertRuleAdmin(KindAdmin):
    list_display = ["name", "state", "condition", "severities", "timing", "evaluated", "said"]
    list_filter = ["enabled", "kind", "severity", "pack"]
    list_per_page = 100
    search_fields = ["name", "config", "labels", "comment"]
    autocomplete_fields = ["receivers"]
    readonly_fields = ["state", "said", "measured", "evaluated", "came_from"]
    actions = ["switch_on", "switch_off", "clone", "evaluate_now", "restore"]
    actions_list = ["bring", "take"]
    change_form_after_template = "alerts/admin/_rule.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        found: QuerySet[AlertRule] = super().get_queryset(request)
        return found.annotate(
            firing=Count("alerts", Q(alerts__state=State.FIRING)),
            pending=Count("alerts", Q(alerts__state=State.PENDING)),
        )

    # --- The form: that of a kind ---

    def kind_form(self, kind: str, obj: AlertRule | None) -> type[RuleForm]:
        return form_for(kind, obj)

    def get_fieldsets(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        kind = self.kind_of(request, obj)
        condition = conditions.condition(kind)
        own = [name for name in form_for(kind, obj).base_fields if name not in (*COMMON, *LIMITS)]
        measures: list[Any] = [("operator", *LIMITS)] if condition.MEASURES else ["severity"]
        unit = format_html(" {} <b>{}</b>", _("Limits are in"), condition.UNIT) if condition.MEASURES else ""
        sets: list[Any] = [
            (None, {"fields": ["name", "kind"]}),
            (
                _("Condition"),
                {
                    "fields": [*own, *measures],
                    "classes": ["kind-fields"],
                    "description": format_html("{}{}", condition.HELP, unit),
                },
            ),
            (
                _("When it counts"),
                {"fields": [("interval", "pending_for", "keep_firing_for"), ("no_data", "alerts_max")]},
            ),
            (
                _("What people are told"),
                {
                    "fields": ["summary", "description", "labels", "receivers", "escalation"],
                    "description": _("Templates: {{ $labels.service }}, {{ $value | humanize }}, {{ $detail }}."),
                },
            ),
            (_("Runbook, in Markdown"), {"fields": [*RUNBOOK], "classes": ["collapse"]}),
            (_("Comment"), {"fields": ["comment"], "classes": ["collapse"]}),
        ]
        return [(_("Now"), {"fields": self.readonly_fields}), *sets] if obj else sets

    def save_model(self, request: HttpRequest, obj: AlertRule, form: RuleForm, change: bool) -> None:
        """A new one is off until somebody has seen what it would have done."""
        if not change:
            obj.enabled = False
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: AlertRule, post_url_continue: str | None = None) -> HttpResponse:
        if "_addanother" in request.POST or "_continue" in request.POST:
            answer: HttpResponse = super().response_add(request, obj, post_url_continue)
            return answer
        return redirect("admin:alerts_alertrule_preview", obj.pk)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        alerts = AlertRule.objects.filter(pk=object_id) if object_id.isdecimal() else AlertRule.objects.none()
        found = [row.alerts.select_related("incident")[:ALERTS_SHOWN] for row in alerts]
        context = {"alerts": found[0] if found else [], **(extra_context or {})}
        answer: HttpResponse = super().change_view(request, object_id, form_url, context)
        return answer

    # --- What is shown ---

    @admin.display(description=_("state"))
    def state(self, rule: AlertRule) -> str:
        if not rule.enabled:
            return badge("grey", _("off"))
        if rule.error:
            return badge("red", _("can’t be evaluated"))
        if firing := getattr(rule, "firing", 0):
            return badge("red", _("%(count)d firing") % {"count": firing})
        if pending := getattr(rule, "pending", 0):
            return badge("yellow", _("%(count)d pending") % {"count": pending})
        return badge("green", _("all is well")) if rule.evaluated_at else badge("grey", _("not evaluated yet"))

    @admin.display(description=_("condition"), ordering="kind")
    def condition(self, rule: AlertRule) -> str:
        try:
            config = conditions.fitted(rule.kind, rule.config)
            return Truncator(conditions.condition(rule.kind).describe(config)).chars(CONDITION_SHOWN)
        except conditions.ConditionError as error:
            return str(error)

    @admin.display(description=_("severity"))
    def severities(self, rule: AlertRule) -> str:
        limits = [(each["severity"], f"{rule.operator} {each['value']:g}") for each in rule.thresholds]
        shown = [(badge(COLOURS[Severity(name)], Severity(name).label), limit) for name, limit in limits]
        rows = shown or [(badge(COLOURS[Severity(rule.severity)], rule.severity), "")]
        return format_html('<span class="unbroken">{}</span>', format_html_join("", "<span>{} {}</span>", rows))

    @admin.display(description=_("every · for"), ordering="interval")
    def timing(self, rule: AlertRule) -> str:
        return format_html('<span class="unbroken">{} · {}</span>', f"{rule.interval:g} s", f"{rule.pending_for:g} s")

    @admin.display(description=_("evaluated"), ordering="evaluated_at")
    def evaluated(self, rule: AlertRule) -> str:
        if not rule.evaluated_at:
            return ""
        took = f"{rule.took_us / 1_000:.1f} ms" if rule.took_us is not None else ""
        at = shown_time(clock.moment(rule.evaluated_at))
        return format_html('<span class="unbroken"><span>{}</span><span class="dim">{}</span></span>', at, took)

    @admin.display(description=_("note"))
    def said(self, rule: AlertRule) -> str:
        text = rule.error or rule.note
        return format_html('<span class="note">{}</span>', text) if text else ""

    @admin.display(description=_("measured"))
    def measured(self, rule: AlertRule) -> str:
        rows = [(", ".join(f"{name}={text}" for name, text in labels.items()), value) for labels, value in rule.values]
        return format_html_join("", "<div>{} <b>{}</b></div>", ((name, f"{value:g}") for name, value in rows)) or "–"

    @admin.display(description=_("made by"))
    def came_from(self, rule: AlertRule) -> str:
        return f"{rule.pack} · {rule.pack_key}" if rule.pack else str(_("a person"))

    # --- What is done with many ---

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        done = rules.switch_on(list(queryset), person_of(request))
        messages.success(request, _("Switched on: %(done)d.") % {"done": done})

    @admin.action(description=_("Switch off; their alerts end"), permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        done = rules.switch_off(list(queryset), person_of(request))
        messages.success(request, _("Switched off: %(done)d.") % {"done": done})

    @admin.action(description=_("Clone"), permissions=["add"])
    def clone(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> HttpResponse | None:
        twins = [rules.clone(rule, person_of(request)) for rule in queryset]
        if len(twins) == 1:
            return redirect(CHANGE, twins[0].pk)
        messages.success(request, _("Cloned, and switched off: %(done)d.") % {"done": len(twins)})
        return None

    @admin.action(description=_("Evaluate now"), permissions=["change"])
    def evaluate_now(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        evaluating.evaluate(list(queryset), timezone.now())
        messages.success(request, _("Evaluated."))

    @admin.action(description=_("Make as it came with Pharos"), permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        done = packs.restore([rule.pack_key for rule in queryset if rule.pack])
        messages.success(request, _("Restored: %(done)d. Rules that did not come with Pharos stay.") % {"done": done})

    # --- Pages ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("try/", view(require_POST(self.try_now)), name="alerts_alertrule_try"),
            path("<int:pk>/preview/", view(require_GET(self.preview)), name="alerts_alertrule_preview"),
            path("<int:pk>/switch/", view(require_POST(self.switch)), name="alerts_alertrule_switch"),
        ]
        return [*own, *super().get_urls()]

    def try_now(self, request: HttpRequest) -> HttpResponse:
        """The rule as the form has it now is played; nothing is saved."""
        key = request.GET.get("row", "")
        row = get_object_or_404(AlertRule, pk=key) if key.isdecimal() else None
        if not (self.has_change_permission(request, row) if row else self.has_add_permission(request)):
            raise PermissionDenied
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        if not form.is_valid():
            return render(request, "alerts/admin/_previewed.html", {"wrong": _wrong(form)})
        found = preview(form.instance, timezone.now(), receivers=form.cleaned_data["receivers"])
        return render(request, "alerts/admin/_previewed.html", shown(found))

    def preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What the rule would have done, and the button that switches it on."""
        rule = get_object_or_404(AlertRule, pk=pk)
        if not self.has_view_permission(request, rule):
            raise PermissionDenied
        if "HX-Request" in request.headers:
            return render(request, "alerts/admin/_previewed.html", shown(preview(rule, timezone.now())))
        context = {"rule": rule, "may_change": self.has_change_permission(request, rule), "says": self.condition(rule)}
        return render(request, "alerts/admin/preview.html", shell(request, rule.name, **context))

    def switch(self, request: HttpRequest, pk: int) -> HttpResponse:
        rule = get_object_or_404(AlertRule, pk=pk)
        if not self.has_change_permission(request, rule):
            raise PermissionDenied
        if request.POST.get("on"):
            rules.switch_on([rule], person_of(request))
            messages.success(request, _("%(rule)s is on.") % {"rule": rule})
        else:
            rules.switch_off([rule], person_of(request))
            messages.success(request, _("%(rule)s is off; its alerts have ended.") % {"rule": rule})
        return redirect(CHANGE, rule.pk)

    def has_bring_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perms(rule_pages.IMPORT)

    def has_take_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("alerts.view_alertrule")

    @action(description=_("Import"), permissions=["bring"], url_path="import", icon="upload")  # type: ignore[untyped-decorator]
    def bring(self, request: HttpRequest) -> HttpResponse:
        return rule_pages.bring(request)

    @action(description=_("Export"), permissions=["take"], url_path="export", icon="download")  # type: ignore[untyped-decorator]
    def take(self, request: HttpRequest) -> HttpResponse:
        return rule_pages.take(request)


def _wrong(form: forms.Form) -> Sequence[tuple[str, Any]]:
    return [(str(form.fields[name].label) if name in form.fields else "", said) for name, said in form.errors.items()]


def shown(found: Preview) -> Mapping[str, Any]:
    rows = [
        {
            "alert": alert,
            "badge": badge(COLOURS[Severity(alert.severity)], Severity(alert.severity).label),
            "labels": ", ".join(f"{name}={text}" for name, text in sorted(alert.labels.items()) if name not in OWN),
            "lasted": (alert.resolved_at or found.end) - (alert.fired_at or alert.active_at),
        }
        for alert in found.episodes
    ]
    return {"found": found, "rows": rows, "receivers": sorted(found.receivers.items())}


OWN: Final = ("alertname", "severity")  # labels that are shown otherwise
