"""Admin screens of the room: API keys, and Django's users and groups in the shell's look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from auditlog.models import LogEntry
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Case, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextareaWidget,
)

from accounts import keys, roles
from accounts.models import ApiKey, OldSecret, Scope, TeamService
from accounts.names import LENGTH_MAX, NAMES_MAX
from core.pages import shell

admin.site.unregister([User, Group, LogEntry])  # the trail has a page of its own


RANKS: Final = [When(name=name, then=rank) for rank, name in enumerate(roles.NAMES)]
ROLES_HELP: Final = _("What this person may do. Each role may do what those before it in this list may: {}.")


class RolesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Groups to tick: the roles, and what groups there are besides."""

    def __init__(self) -> None:
        super().__init__(
            Group.objects.order_by(Case(*RANKS, default=len(RANKS)), "name"),
            required=False,
            label=_("Roles and groups"),
            help_text=format_lazy(ROLES_HELP, ", ".join(roles.NAMES)),
            widget=UnfoldAdminCheckboxSelectMultipleWidget,
        )


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    groups = RolesField()


class UserForm(UserChangeForm):  # type: ignore[misc]
    groups = RolesField()


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg, misc]
    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "first_name", "last_name", "shown_roles", "is_active")
    list_filter = ("groups", "is_active", "is_superuser")
    filter_horizontal = ("user_permissions",)
    add_fieldsets = ((None, {"fields": ("username", "email", "usable_password", "password1", "password2", "groups")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=_("roles and groups"))
    def shown_roles(self, user: User) -> str:
        names = [group.name for group in user.groups.all()]
        return ", ".join([str(_("superuser")), *names] if user.is_superuser else names)

    # Who isn't a superuser becomes none by way of another's account either.
    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return [] if _is_superuser(request) else ["is_superuser"]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return bool(super().has_change_permission(request, obj)) and _reaches(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and _reaches(request, obj)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _reaches(request: HttpRequest, user: User | None) -> bool:
    return user is None or not user.is_superuser or _is_superuser(request)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """The built-in roles keep their names: sign-in and anonymous reading know them by these."""

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        return ["name"] if obj and obj.name in roles.NAMES else []

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and (obj is None or obj.name not in roles.NAMES)


@admin.register(TeamService)
class TeamServiceAdmin(ModelAdmin):  # type: ignore[misc]
    """Which teams see which services."""

    list_display = ["pattern", "teams"]
    search_fields = ["pattern", "groups__name"]
    filter_horizontal = ["groups"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TeamService]:
        found: QuerySet[TeamService] = super().get_queryset(request)
        return found.prefetch_related("groups")

    @admin.display(description=_("teams"))
    def teams(self, row: TeamService) -> str:
        return ", ".join(group.name for group in row.groups.all()) or str(_("nobody"))


class ServicesField(forms.CharField):
    """Names of services, one per line or with commas between them."""

    widget = UnfoldAdminTextareaWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=NAMES_MAX * LENGTH_MAX, **options)
        self.widget.attrs |= {"rows": 3, "spellcheck": "false"}

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        parts = (super().to_python(value) or "").replace("\n", ",").split(",")
        return list(dict.fromkeys(name for part in parts if (name := part.strip())))


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget)
    services = ServicesField(
        help_text=_(
            "Empty: all. Otherwise it sends lines and alerts of these only, and sees only these. "
            "One per line: checkout, or shop-* for all that begin so."
        )
    )

    class Meta:
        model = ApiKey
        fields = ["name", "scopes", "services", "expires_on"]
        widgets = {"expires_on": UnfoldAdminSingleDateWidget()}


class RotateForm(forms.Form):
    grace = forms.TypedChoiceField(
        choices=[
            (0, _("ends at once")),
            (3600, _("works for another hour")),
            (86_400, _("works for another day")),
            (7 * 86_400, _("works for another week")),
            (30 * 86_400, _("works for another 30 days")),
        ],
        coerce=int,
        initial=86_400,
        label=_("The secret that it has now"),
        widget=UnfoldAdminSelectWidget(),
    )


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):  # type: ignore[misc]
    form = ApiKeyForm
    list_display = ["name", "shown_prefix", "shown_scopes", "shown_services", "created_at", "used", "state"]
    readonly_fields = ["shown_prefix", "created_at", "used", "old", "state"]
    search_fields = ["name", "prefix"]
    actions = ["revoke", "end_old_secrets"]
    actions_detail = ["rotate"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return super().get_readonly_fields(request, obj) if obj else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        found: QuerySet[ApiKey] = super().get_queryset(request)
        return found.prefetch_related("old_secrets")

    @admin.display(description=_("key"))
    def shown_prefix(self, key: ApiKey) -> str:
        return f"{key.prefix}…" if key.prefix else ""

    @admin.display(description=_("scopes"))
    def shown_scopes(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description=_("services"))
    def shown_services(self, key: ApiKey) -> str:
        return ", ".join(key.services) or str(_("all"))

    @admin.display(description=_("last used"), ordering="last_used_at")
    def used(self, key: ApiKey) -> str:
        return _used(key)

    @admin.display(description=_("older secrets"))
    def old(self, key: ApiKey) -> str:
        """Those that still work after a rotation."""
        lines = [
            (_("%(prefix)s… works until %(until)s, used last: %(used)s"), old)
            for old in key.old_secrets.all()
            if old.works_until > timezone.now()
        ]
        texts = [
            (text % {"prefix": old.prefix, "until": _moment(old.works_until), "used": _used(old)},)
            for text, old in lines
        ]
        return format_html_join(mark_safe("<br>"), "{}", texts) or "–"

    @admin.display(description=_("state"))
    def state(self, key: ApiKey) -> str:
        now = timezone.now()
        if key.revoked_at:
            return str(_("revoked"))
        left = key.days_left(now.astimezone(UTC).date())
        if left is None:
            return str(_("valid"))
        if left < 0:
            return str(_("expired"))
        if left == 0:
            return str(_("expires today"))
        return ngettext("expires in %(days)d day", "expires in %(days)d days", left) % {"days": left}

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made, plain = keys.create(obj.name, form.cleaned_data["scopes"], services=obj.services)
        if obj.expires_on:
            made.expires_on = obj.expires_on
            made.save(update_fields=["expires_on"])
        obj.__dict__.update(made.__dict__)
        _show(request, plain)

    @admin.action(description=_("Revoke the selected keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            keys.revoke(key)
        messages.success(request, _("Revoked. They stop working within ten seconds."))

    @admin.action(description=_("End the older secrets of the selected keys"), permissions=["change"])
    def end_old_secrets(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for old in OldSecret.objects.filter(key__in=queryset):
            keys.forget(old)
        messages.success(request, _("Ended. They stop working within ten seconds."))

    @action(description=_("Rotate"), permissions=["change"], url_path="rotate", icon="sync")  # type: ignore[untyped-decorator]
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(ApiKey, pk=object_id, revoked_at=None)
        form = RotateForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            plain = keys.rotate(key, timedelta(seconds=form.cleaned_data["grace"]))
            self.log_change(request, key, "Rotated.")
            _show(request, plain)
            return redirect("admin:accounts_apikey_change", key.pk)
        context = shell(request, str(_("Rotate a key"))) | {"key": key, "form": form}
        return render(request, "accounts/admin/rotate.html", context)


def _show(request: HttpRequest, plain: str) -> None:
    sentence = str(_("Copy the key now, it is not shown again: <code class='font-mono'>{}</code>"))
    messages.warning(request, format_html(sentence, plain))


def _used(secret: ApiKey | OldSecret) -> str:
    if secret.last_used_at is None:
        return str(_("never"))
    moment, client = _moment(secret.last_used_at), secret.last_used_from
    return str(_("%(moment)s from %(client)s") % {"moment": moment, "client": client}) if client else moment


def _moment(value: datetime) -> str:
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M}"
