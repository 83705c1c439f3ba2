"""Channels: a form for each kind, with a preview and a test; and deliveries, to be read."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from alerts import deliveries, notifiers, sending
from alerts.channel_form import COMMON, TEMPLATE, ChannelForm, form_for
from alerts.models import Channel, Delivery
from alerts.models.deliveries import Outcome, Reason
from alerts.samples import sample
from core.kind_admin import KindAdmin
from services.admin import badge, shown_time
from services.admin_pages import person_of

TESTED_MAX: Final = 10  # channels in one action
OUTCOMES: Final = {
    Outcome.DUE: "blue", Outcome.DELIVERED: "green", Outcome.FAILED: "red", Outcome.HELD: "grey",
}  # fmt: skip
PREVIEWED: Final = (Reason.FIRING, Reason.REPEAT, Reason.RESOLVED)


@admin.register(Channel)
class ChannelAdmin(KindAdmin):
    list_display = ["__str__", "state", "told", "rate_max", "send_resolved", "enabled"]
    list_filter = ["kind", "receiver", "enabled"]
    list_select_related = ["receiver"]
    search_fields = ["receiver__name", "kind"]
    readonly_fields = ["state", "told"]
    actions = ["send_test"]
    change_form_after_template = "alerts/admin/_channel.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        found: QuerySet[Channel] = super().get_queryset(request)
        return found.select_related("receiver")

    def has_test_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("alerts.test_channel")

    # --- The form: that of a kind ---

    def kind_form(self, kind: str, obj: Channel | None) -> type[ChannelForm]:
        return form_for(kind, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        kind = self.kind_of(request, obj)
        own = [name for name in form_for(kind, obj).base_fields if name not in COMMON]
        templates = [name for name in own if name.startswith(TEMPLATE)]
        settings = [name for name in own if name not in templates]
        described = _("An empty template is the one that stands there in grey: see docs/notifications.md.")
        sets: list[Any] = [
            (None, {"fields": ["receiver", "kind"]}),
            (
                _("Where to, and how it is worded"),
                {
                    "fields": [*settings, *templates],
                    "classes": ["kind-fields"],
                    "description": format_html("{} {}", notifiers.notifier(kind).HELP, described if templates else ""),
                },
            ),
            (_("How much"), {"fields": ["rate_max", ("send_resolved", "enabled")]}),
        ]
        return [(_("Now"), {"fields": [("state", "told")]}), *sets] if obj else sets

    def save_model(self, request: HttpRequest, obj: Channel, form: ChannelForm, change: bool) -> None:
        """What waits for it goes out now."""
        super().save_model(request, obj, form, change)
        if change:
            deliveries.repaired(obj, timezone.now())

    # --- What is shown ---

    @admin.display(description=_("state"))
    def state(self, channel: Channel) -> str:
        if not channel.enabled:
            return badge("grey", _("switched off"))
        if channel.disabled_reason:
            return badge("red", _("off: %(reason)s") % {"reason": channel.disabled_reason})
        if channel.failing_since:
            return badge("yellow", _("failing since %(since)s") % {"since": shown_time(channel.failing_since)})
        return badge("green", _("works")) if channel.delivered_at else badge("grey", _("not tried yet"))

    @admin.display(description=_("told last"), ordering="delivered_at")
    def told(self, channel: Channel) -> str:
        return shown_time(channel.delivered_at) if channel.delivered_at else ""

    # --- Preview and test ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("preview/", view(require_POST(self.preview)), name="alerts_channel_preview"),
            path("<int:pk>/test/", view(require_POST(self.test)), name="alerts_channel_test"),
        ]
        return [*own, *super().get_urls()]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """What the form as it stands would send of a made-up alert; nothing is saved or sent."""
        key = request.GET.get("row", "")
        row = get_object_or_404(Channel, pk=key) if key.isdecimal() else None
        if not (self.has_change_permission(request, row) if row else self.has_add_permission(request)):
            raise PermissionDenied
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        if not form.is_valid():
            wrong = [(form[name].label if name in form.fields else "", said) for name, said in form.errors.items()]
            return render(request, "alerts/admin/_channel_preview.html", {"wrong": wrong})
        reason = request.GET.get("reason", "")
        told = sample(str(form.instance.receiver), reason=reason if reason in PREVIEWED else Reason.FIRING)
        channel = form.instance
        try:
            target = notifiers.target(channel.kind, channel.options, channel.secrets, channel.templates)
            parts = notifiers.notifier(channel.kind).preview(told, target)
        except notifiers.NotifierError as error:
            return render(request, "alerts/admin/_channel_preview.html", {"wrong": [("", [str(error)])]})
        return render(request, "alerts/admin/_channel_preview.html", {"parts": parts.items()})

    def test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The channel as it is stored."""
        if not self.has_test_permission(request):
            raise PermissionDenied
        row = sending.test(get_object_or_404(self.get_queryset(request), pk=pk), person_of(request))
        return render(request, "alerts/admin/_channel_test.html", {"row": row, "badge": outcome_badge(row.outcome)})

    @admin.action(description=_("Send a test message"), permissions=["test"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        for channel in queryset[:TESTED_MAX]:
            row = sending.test(channel, person_of(request))
            level = messages.SUCCESS if row.outcome == Outcome.DELIVERED else messages.ERROR
            messages.add_message(request, level, f"{channel}: {row.answer}")
        if queryset.count() > TESTED_MAX:
            messages.warning(request, _("Only %(most)d at a time are tested.") % {"most": TESTED_MAX})


def outcome_badge(outcome: str) -> str:
    return badge(OUTCOMES[Outcome(outcome)], Outcome(outcome).label)


@admin.register(Delivery)
class DeliveryAdmin(ModelAdmin):  # type: ignore[misc]
    """Who was told what, with which answer. It is added to, never changed."""

    list_display = ["at", "channel", "reason", "outcome_shown", "attempts", "answer", "incident"]
    list_filter = ["outcome", "reason", "channel__kind", "channel__receiver"]
    list_select_related = ["channel__receiver", "incident"]
    search_fields = ["answer", "channel__receiver__name"]
    show_full_result_count = False
    fields = [
        "at", "channel", "reason", "outcome_shown", "attempts", "answer", "took_ms", "finished_at", "incident",
        "notification",
    ]  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        return False

    @admin.display(description=_("decided"), ordering="created_at")
    def at(self, delivery: Delivery) -> str:
        return shown_time(delivery.created_at)

    @admin.display(description=_("outcome"), ordering="outcome")
    def outcome_shown(self, delivery: Delivery) -> str:
        return outcome_badge(delivery.outcome)
