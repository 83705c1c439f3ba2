"""Digests in the admin: which receiver gets which report, and when."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from alerts import digests
from alerts.models import Digest
from core import clock
from services.admin import shown_time


@admin.register(Digest)
class DigestAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["__str__", "hour", "zone", "next_one", "enabled"]
    list_filter = ["cadence", "enabled"]
    list_select_related = ["receiver"]
    autocomplete_fields = ["receiver"]
    fields = ["cadence", "receiver", "hour", "zone", "enabled"]

    def save_model(self, request: HttpRequest, obj: Digest, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        digests.replan(obj)

    @admin.display(description=_("next"), ordering="due_at")
    def next_one(self, digest: Digest) -> str:
        return shown_time(clock.moment(digest.due_at)) if digest.due_at and digest.enabled else ""
