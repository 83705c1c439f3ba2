"""Log sources, pipelines, dead letters, days of the archive, redaction and retention rules, saved queries.

Everything else of the room is on its pages.
"""

from __future__ import annotations

from typing import Any, Final

import redis
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Field, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect
from kombu.exceptions import OperationalError
from unfold.admin import ModelAdmin
from unfold.decorators import action

from accounts.trail import recording
from core import clock
from logs import archive, ingest, pipelines, plain, redaction, retention, saved, stream, tasks
from logs.details import details_of
from logs.models import ArchivedDay, DeadLetter, LogSource, Pipeline, RedactionRule, RetentionRule, SavedQuery
from logs.redaction import Redactor, Rule, RuleError
from logs.sources.states import states

SAMPLE_MAX: Final = 20_000  # characters


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
                recording.event("dead_letter_sent_again", letter)
                sent += 1
        except redis.RedisError as error:
            messages.error(
                request, _("Redis is away after %(sent)d entries: %(error)s") % {"sent": sent, "error": error}
            )
            return
        messages.success(request, _("Sent %(sent)d entries again.") % {"sent": sent})


@admin.register(LogSource)
class LogSourceAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["name", "kind", "enabled", "state", "comment"]
    list_filter = ["kind", "enabled"]
    search_fields = ["name", "comment"]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Redis is asked once for the whole page."""
        changelist: ChangeList = super().get_changelist_instance(request)
        found = states(list(changelist.result_list))
        for source in changelist.result_list:
            source.found = found[source.pk]
        return changelist

    @admin.display(description=_("state"))
    def state(self, source: LogSource) -> str:
        return getattr(source, "found", "")


@admin.register(Pipeline)
class PipelineAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows, and a line to try them on before they are saved."""

    TRIED_MAX: Final = 100_000  # characters

    list_display = ["name", "position", "enabled", "services", "does", "dropped", "sampled", "changed"]
    list_filter = ["enabled"]
    search_fields = ["name", "services"]
    readonly_fields = ["dropped", "sampled", "changed"]
    fieldsets = [
        (None, {"fields": ["name", "services", ("position", "enabled")]}),
        (_("First, read more out of the message"), {"fields": ["expression"]}),
        (_("Then drop"), {"fields": [("minimum", "keep"), "drop", "drop_expression"]}),
        (_("Add to what is left"), {"fields": ["labels"]}),
        (_("Lines so far"), {"fields": [("dropped", "sampled", "changed")]}),
    ]
    change_form_after_template = "logs/_try_line.html"

    @admin.display(description=_("does"))
    def does(self, pipeline: Pipeline) -> str:
        return pipeline.meaning()

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "labels":
            field.widget.attrs["rows"] = 3
        return field

    def get_urls(self) -> list[URLPattern]:
        own = path("try/", self.admin_site.admin_view(self.try_line), name="logs_pipeline_try")
        return [own, *super().get_urls()]

    def try_line(self, request: HttpRequest) -> HttpResponse:
        """A line, read and sent through all enabled rows, this one as the form has it now."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        key = request.POST.get("try_row", "")
        row = Pipeline.objects.filter(pk=key).first() if key.isdecimal() else None
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        if not form.is_valid():
            wrong = [
                (form.fields[name].label if name in form.fields else "", said) for name, said in form.errors.items()
            ]
            return render(request, "logs/_tried.html", {"wrong": wrong})
        text = request.POST.get("try_line", "")[: self.TRIED_MAX]
        if not text.strip():
            return render(request, "logs/_tried.html", {"nothing": True})
        service = request.POST.get("try_service", "").strip() or form.instance.only_service
        record, steps = pipelines.steps(
            plain.read(text, clock.now(), service=service), pipelines.with_row(form.instance)
        )
        return render(request, "logs/_tried.html", {"details": details_of(record), "steps": steps})


@admin.register(ArchivedDay)
class ArchivedDayAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["day", "state", "progress", "lines", "size", "archived_at", "restored_until", "error"]
    list_filter = ["state"]
    date_hierarchy = "day"
    fields = [
        "day", "state", "progress", "error", "lines", "size", "services", "location", "archived_at", "restored_at",
        "restored_until",
    ]  # fmt: skip
    readonly_fields = fields
    actions = ["restore", "remove_restored"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ArchivedDay | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ArchivedDay | None = None) -> bool:
        return False

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("logs.change_archivedday")

    @admin.display(description=_("progress"))
    def progress(self, day: ArchivedDay) -> str:
        return day.progress

    @admin.display(description=_("size"), ordering="bytes")
    def size(self, day: ArchivedDay) -> str:
        return filesizeformat(day.bytes)

    @admin.action(description=_("Restore (searchable for 7 days)"), permissions=["restore"])
    def restore(self, request: HttpRequest, queryset: QuerySet[ArchivedDay]) -> None:
        asked = archive.ask_to_restore(queryset.values_list("day", flat=True))
        self._start(request, _("Days that are being restored: %(days)d.") % {"days": asked})

    @admin.action(description=_("Remove the restored lines now"), permissions=["restore"])
    def remove_restored(self, request: HttpRequest, queryset: QuerySet[ArchivedDay]) -> None:
        asked = archive.ask_to_remove(queryset.values_list("day", flat=True))
        self._start(request, _("Days whose restored lines are being removed: %(days)d.") % {"days": asked})

    def _start(self, request: HttpRequest, done: str) -> None:
        try:
            tasks.archive.delay()
        except OperationalError:
            messages.warning(request, _("Redis is away: it is done within the hour after it is back."))
        messages.success(request, done)


@admin.register(RedactionRule)
class RedactionRuleAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["value", "kind", "enabled", "hits", "last_hit", "comment"]
    list_filter = ["kind", "enabled"]
    list_per_page = 200
    search_fields = ["value", "comment"]
    fields = ["kind", "value", "enabled", "comment", "hits", "last_hit"]
    readonly_fields = ["hits", "last_hit"]
    actions = ["switch_on", "switch_off"]
    actions_list = ["restore_built_in"]
    list_before_template = change_form_after_template = "logs/_try_redaction.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.try_rules))
        return [path("try/", view, name="logs_redactionrule_try"), *super().get_urls()]

    def try_rules(self, request: HttpRequest) -> HttpResponse:
        """What the rules make of a line; `edited` is the key of the one that is being edited, or "new"."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        edited, sample = request.POST.get("edited", ""), request.POST.get("sample", "")[:SAMPLE_MAX]
        others = RedactionRule.objects.filter(enabled=True)
        rules = [row.rule for row in (others.exclude(pk=edited) if edited.isdecimal() else others)]
        problem = ""
        if edited and request.POST.get("enabled") and request.POST.get("value"):
            rule = Rule(request.POST.get("kind", ""), request.POST["value"])
            try:
                redaction.check(rule)
                rules.append(rule)
            except RuleError as error:
                problem = str(error)
        shown, hits = redaction.tried(Redactor(rules), sample) if sample and not problem else ("", {})
        found = {"problem": problem, "shown": shown, "hits": sorted(hits.items())}
        return render(request, "logs/_redacted.html", found)

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[RedactionRule]) -> None:
        recording.update(queryset, {"enabled": True})

    @admin.action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[RedactionRule]) -> None:
        recording.update(queryset, {"enabled": False})

    @action(  # type: ignore[untyped-decorator]
        description=_("Restore the built-in rules"),
        permissions=["change"],
        url_path="restore",
        dialog={
            "title": _("Restore the built-in rules?"),
            "description": _("Those that were switched or deleted become what they were at first. Own rules stay."),
            "form_class": None,
            "form_submit_text": _("Restore"),
        },
    )
    def restore_built_in(self, request: HttpRequest, form: Form) -> HttpResponse:
        for rule in redaction.BUILT_IN:
            enabled = rule not in redaction.BY_CHOICE
            RedactionRule.objects.update_or_create(
                kind=rule.kind, value=rule.value, defaults={"enabled": enabled, "comment": ""}
            )
        messages.success(request, _("The built-in rules are what they were at first."))
        return HttpResponseClientRedirect(reverse("admin:logs_redactionrule_changelist"))


@admin.register(RetentionRule)
class RetentionRuleAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ["service", "lines", "kept", "comment"]
    list_filter = ["lines"]
    search_fields = ["service", "comment"]
    fields = ["service", "lines", "days", "comment", "meaning"]
    readonly_fields = ["meaning"]

    @admin.display(description=_("kept"), ordering="days")
    def kept(self, rule: RetentionRule) -> str:
        return retention.kept(rule.days)

    @admin.display(description=_("what holds now"))
    def meaning(self, rule: RetentionRule) -> str:
        """With the service's other rule and the defaults taken into account; for a new rule, what it goes before."""
        default = retention.defaults(RetentionRule.objects.filter(service=retention.EVERY))
        own = retention.policies(RetentionRule.objects.filter(service=rule.service), default) if rule.pk else {}
        return retention.meaning(rule.service if own else "", own.get(rule.service, default))


@admin.register(SavedQuery)
class SavedQueryAdmin(ModelAdmin):  # type: ignore[misc]
    """What is saved on the Logs page, by whomever. The model checks the query."""

    list_display = ["name", "owner", "readers", "query", "created_at"]
    list_filter = ["shared", ("built_in", admin.EmptyFieldListFilter)]
    list_select_related = ["owner"]
    search_fields = ["name", "text"]
    readonly_fields = ["built_in", "created_at"]
    actions_list = ["restore_predefined"]

    @admin.display(description=_("who sees it"), ordering="shared")
    def readers(self, query: SavedQuery) -> str:
        return str(_("everyone") if query.shared or query.built_in else _("its owner"))

    @admin.display(description=_("query"), ordering="text")
    def query(self, query: SavedQuery) -> str:
        return Truncator(query.text).chars(80)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SavedQuery]:
        """What is private is its owner's, and of those who may remove anyone's."""
        found: QuerySet[SavedQuery] = super().get_queryset(request)
        return found if request.user.has_perm(saved.DELETE) else found & saved.visible_to(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Here one chooses whose it is. One's own is saved on the Logs page."""
        return bool(super().has_add_permission(request)) and request.user.has_perm(saved.DELETE)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"owner": request.user.pk, **super().get_changeform_initial_data(request)}

    # A button above the list and not one of its actions: those need a row to choose, and all may have gone.
    @action(  # type: ignore[untyped-decorator]
        description=_("Restore the predefined queries"),
        permissions=["change"],
        url_path="restore",
        dialog={
            "title": _("Restore the predefined queries?"),
            "description": _("Those that were changed or deleted become what they were at first. Others stay."),
            "form_class": None,
            "form_submit_text": _("Restore"),
        },
    )
    def restore_predefined(self, request: HttpRequest, form: Form) -> HttpResponse:
        restored = saved.restore()
        done = _("Restored: %(restored)d of the predefined queries.") if restored else _("None was changed or deleted.")
        messages.success(request, done % {"restored": restored})
        return HttpResponseClientRedirect(reverse("admin:logs_savedquery_changelist"))  # the dialog is htmx's
