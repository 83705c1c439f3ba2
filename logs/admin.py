"""Dead letters: read, and sent again. Everything else of the room is on the Logs page."""

from __future__ import annotations

import redis
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from logs import ingest, stream
from logs.models import DeadLetter


@admin.register(DeadLetter)
class DeadLetterAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["received_at", "stream", "entry_id", "reason", "replayed_at"]
    list_filter = ["stream", ("replayed_at", admin.EmptyFieldListFilter)]
    search_fields = ["reason", "entry_id"]
    readonly_fields = ["stream", "entry_id", "reason", "payload", "received_at", "replayed_at"]
    show_full_result_count = False
    actions = ["send_again"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: DeadLetter | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: DeadLetter | None = None) -> bool:
        return False

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("logs.change_deadletter")

    @admin.action(description=_("Send again to the log stream"), permissions=["replay"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        sent = 0
        client = stream.connect()
        try:
            for letter in queryset:
                ingest.replay(letter, client)
                sent += 1
        except redis.RedisError as error:
            messages.error(
                request, _("Redis is away after %(sent)d entries: %(error)s") % {"sent": sent, "error": error}
            )
            return
        messages.success(request, _("Sent %(sent)d entries again.") % {"sent": sent})
