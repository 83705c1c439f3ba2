"""Routes as the tree that they are, receivers and their channels, and what keeps alerts quiet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action

from alerts import durations
from alerts.alertmanager import pages
from alerts.models import (
    Channel,
    EscalationPolicy,
    EscalationStep,
    InhibitRule,
    MuteTime,
    Receiver,
    Route,
    SeverityName,
)
from alerts.routing_forms import InhibitRuleForm, MuteTimeForm, RouteForm
from services.durations import words

ROUTES_MAX: Final = 1_000  # on one page: a tree can't be cut
MATCHERS_SHOWN: Final = 60  # characters of them, beside a name


def in_order(routes: Sequence[Route]) -> Iterator[tuple[Route, int]]:
    """As an alert meets them, with their depth."""
    below: dict[int | None, list[Route]] = defaultdict(list)
    for route in routes:
        below[route.parent_id].append(route)
    waiting = [(route, 0) for route in reversed(below[None])]
    while waiting:
        route, depth = waiting.pop()
        yield route, depth
        waiting += [(child, depth + 1) for child in reversed(below[route.pk])]


class Tree(ChangeList):
    """All routes, each below its parent. With a filter or a search: those that are found, as they come."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        if len(rows) == Route.objects.count():
            ordered = []
            for route, depth in in_order(rows):
                route.depth = depth  # type: ignore[attr-defined]  # for the column
                ordered.append(route)
            self.result_list = ordered


@admin.register(Route)
class RouteAdmin(ModelAdmin):  # type: ignore[misc]
    form = RouteForm
    list_display = ["tree", "receives", "goes_on", "grouped", "waits", "quiet"]
    list_per_page = ROUTES_MAX
    search_fields = ["name", "matchers", "receiver__name"]
    autocomplete_fields = ["receiver", "mute_times", "active_times"]
    sortable_by: list[str] = []
    fieldsets = [
        (None, {"fields": ["parent", ("order", "name"), "matchers", "receiver", "continues"]}),
        (
            _("When it is told"),
            {
                "fields": ["group_by", ("group_wait", "group_interval", "repeat_interval")],
                "description": _("What is empty comes from the parent."),
            },
        ),
        (_("Quiet times, and who is told next"), {"fields": ["mute_times", "active_times", "escalation"]}),
    ]
    list_before_template = "alerts/admin/_routes_first.html"
    actions_list = ["bring", "take"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Tree

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        found: QuerySet[Route] = super().get_queryset(request)
        return found.select_related("receiver").prefetch_related("mute_times", "active_times")

    def has_delete_permission(self, request: HttpRequest, obj: Route | None = None) -> bool:
        """The first one stays: without it nobody would be told of anything."""
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and (obj is None or obj.parent_id is not None)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Routes are deleted one by one: with each goes what hangs below it."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    # --- alertmanager.yml, in and out ---

    def has_bring_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perms(pages.IMPORT)

    def has_take_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perms(pages.EXPORT)

    @action(description=_("Import"), permissions=["bring"], url_path="import", icon="upload")  # type: ignore[untyped-decorator]
    def bring(self, request: HttpRequest) -> HttpResponse:
        return pages.bring(request)

    @action(description=_("Export"), permissions=["take"], url_path="export", icon="download")  # type: ignore[untyped-decorator]
    def take(self, request: HttpRequest) -> HttpResponse:
        return pages.take(request)

    # --- What is shown ---

    @admin.display(description=_("route"))
    def tree(self, route: Route) -> str:
        depth = getattr(route, "depth", 0)
        name = ", ".join(route.matchers) or ("all alerts" if route.parent_id is None else "all that come here")
        if route.name:
            short = Truncator(name).chars(MATCHERS_SHOWN)
            title = format_html('{} <span class="dim" title="{}">{}</span>', route.name, name, short)
        else:
            title = format_html("{}", name)
        return format_html('<span class="branch" style="--depth: {}">{}</span>', depth, title)

    @admin.display(description=_("receiver"))
    def receives(self, route: Route) -> str:
        return route.receiver.name if route.receiver else "–"

    @admin.display(description=_("continue"), boolean=True)
    def goes_on(self, route: Route) -> bool:
        return route.continues

    @admin.display(description=_("group by"))
    def grouped(self, route: Route) -> str:
        return ", ".join(route.group_by or []) or "–"

    @admin.display(description=_("wait · interval · repeat"))
    def waits(self, route: Route) -> str:
        times = (route.group_wait, route.group_interval, route.repeat_interval)
        return " · ".join("–" if each is None else durations.write(each) for each in times)

    @admin.display(description=_("quiet times"))
    def quiet(self, route: Route) -> str:
        muted = [each.name for each in route.mute_times.all()]
        return ", ".join([*muted, *(f"not {each.name}" for each in route.active_times.all())]) or "–"


class ChannelInline(TabularInline):  # type: ignore[misc]
    """What there is, each with a link to its form: the fields of a channel depend on its kind."""

    model = Channel
    fields = readonly_fields = ["its_form", "resolved", "enabled", "state"]
    hide_title = True
    extra = 0
    can_delete = False
    verbose_name_plural = _("channels")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        found: QuerySet[Channel] = super().get_queryset(request)
        return found.defer("secrets")

    @admin.display(description=_("channel"))
    def its_form(self, channel: Channel) -> str:
        address = reverse("admin:alerts_channel_change", args=[channel.pk])
        return format_html('<a class="linked" href="{}">{}</a>', address, channel.get_kind_display())

    @admin.display(description=_("tells the end"), boolean=True)
    def resolved(self, channel: Channel) -> bool:
        return channel.send_resolved

    @admin.display(description=_("state"))
    def state(self, channel: Channel) -> str:
        return channel.disabled_reason or "–"


@admin.register(Receiver)
class ReceiverAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["name", "ways", "comment"]
    search_fields = ["name", "comment"]
    inlines = [ChannelInline]
    change_form_after_template = "alerts/admin/_add_channel.html"

    def get_inlines(self, request: HttpRequest, obj: Receiver | None) -> list[Any]:
        return self.inlines if obj else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receiver]:
        found: QuerySet[Receiver] = super().get_queryset(request)
        return found.prefetch_related("channels")

    @admin.display(description=_("channels"))
    def ways(self, receiver: Receiver) -> str:
        return ", ".join(channel.get_kind_display() for channel in receiver.channels.all()) or str(_("none"))


@admin.register(InhibitRule)
class InhibitRuleAdmin(ModelAdmin):  # type: ignore[misc]
    form = InhibitRuleForm
    list_display = ["__str__", "source", "target", "equal_labels", "enabled"]
    list_filter = ["enabled"]
    search_fields = ["name", "source_matchers", "target_matchers"]

    @admin.display(description=_("while one fires"))
    def source(self, rule: InhibitRule) -> str:
        return ", ".join(rule.source_matchers)

    @admin.display(description=_("these are not told"))
    def target(self, rule: InhibitRule) -> str:
        return ", ".join(rule.target_matchers)

    @admin.display(description=_("with equal"))
    def equal_labels(self, rule: InhibitRule) -> str:
        return ", ".join(rule.equal) or "–"


@admin.register(MuteTime)
class MuteTimeAdmin(ModelAdmin):  # type: ignore[misc]
    form = MuteTimeForm
    list_display = ["name", "said"]
    search_fields = ["name"]

    @admin.display(description=_("intervals"))
    def said(self, times: MuteTime) -> int:
        return len(times.intervals)


class StepInline(TabularInline):  # type: ignore[misc]
    model = EscalationStep
    fields = ["after", "until", "receiver"]
    autocomplete_fields = ["receiver"]
    extra = 0
    verbose_name_plural = _("steps")


@admin.register(EscalationPolicy)
class EscalationPolicyAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["name", "step_count", "reminds"]
    search_fields = ["name"]
    inlines = [StepInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[EscalationPolicy]:
        found: QuerySet[EscalationPolicy] = super().get_queryset(request)
        return found.annotate(count=Count("steps"))

    @admin.display(description=_("steps"), ordering="count")
    def step_count(self, policy: EscalationPolicy) -> int:
        return getattr(policy, "count", 0)

    @admin.display(description=_("reminds after"), ordering="remind_after")
    def reminds(self, policy: EscalationPolicy) -> str:
        return words(policy.remind_after) if policy.remind_after else str(_("never"))


@admin.register(SeverityName)
class SeverityNameAdmin(ModelAdmin):  # type: ignore[misc]
    """What others call it, and how bad that is here."""

    list_display = ["name", "severity", "priority"]
    list_filter = ["severity", "priority"]
    list_editable = ["severity", "priority"]
    search_fields = ["name"]
