"""The form of a channel: the same for all kinds, the fields of its own kind, and its templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from alerts import notifiers
from alerts.models import Channel
from core import kind_fields
from services import kind_help

COMMON: Final = ("receiver", "kind", "send_resolved", "rate_max", "enabled")
TEMPLATE: Final = "template_"

# By "kind.name", or by name where it means the same everywhere.
HELP: Final[dict[str, object]] = {
    "to": _("Addresses; each mail goes to all of them."),
    "webhook.url": _("Where the JSON is sent by POST."),
    "endpoint": _("Another one in the EU, or in tests."),
    "secrets.webhook.url": _("Instead of the address above, if all of it is secret."),
    "secrets.url": _("The whole address."),
    "secrets.signing_key": _("Signs each message, as the Standard Webhooks specification says: whsec_… or any text."),
    "secrets.routing_key": _("Of an integration “Events API V2”, 32 characters."),
    "secrets.api_key": _("Of an integration “API” of a team."),
}


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """Made for one kind by `form_for`."""

    way: notifiers.Notifier

    class Meta:
        model = Channel
        fields = COMMON

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        same = self.instance.pk and self.initial.get("kind") == cleaned.get("kind")
        stored = self.instance.secrets if same else {}
        before = dict(self.instance.options) if same else {}
        secrets, kept = kind_fields.secrets_of(self.way.Secrets, cleaned, stored)
        options = kind_fields.options_of(self.way.Options, cleaned)
        if moves(self.way, before, options):
            for name in sorted(kept):
                self.add_error(
                    kind_fields.SECRET + name, _("The address is another server now: enter this again, or remove it.")
                )
        self.instance.options, self.instance.secrets = options, secrets
        self.instance.templates = {
            part: text for part in self.way.TEMPLATES if (text := cleaned.get(TEMPLATE + part, "").strip())
        }
        return cleaned

    def _update_errors(self, errors: ValidationError) -> None:
        """Of the model: options, secrets and templates are many fields here."""
        if hasattr(errors, "error_dict"):
            said: dict[str, list[ValidationError]] = {}
            for field, several in errors.error_dict.items():
                said.setdefault(field if field in self.fields else NON_FIELD_ERRORS, []).extend(several)
            errors = ValidationError(said)
        super()._update_errors(errors)  # type: ignore[misc]


def moves(way: notifiers.Notifier, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether secrets would go to another server. Who may change a channel may not read its secrets: neither by having
    them sent to a server of his own."""
    defaults = msgspec.to_builtins(way.Options())
    return any(
        _server(before.get(name, defaults[name])) != _server(after.get(name, defaults[name])) for name in way.PLACES
    )


def _server(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def form_for(kind: str, row: Channel | None) -> type[ChannelForm]:
    """`row` gives the values to begin with, if it is of that kind. Raises NotifierError."""
    way = notifiers.notifier(kind)
    same = row if row and row.kind == kind else None
    fields = {
        **kind_fields.option_fields(kind, way.Options, same.options if same else {}, help_for),
        **kind_fields.secret_fields(kind, way.Secrets, same.secrets if same else {}, help_for),
    }
    templates = {TEMPLATE + part: _template(part, way, same.templates if same else {}) for part in way.TEMPLATES}
    return type("ChannelForm", (ChannelForm,), {"way": way, **fields, **templates})


def help_for(kind: str, name: str, *, secret: bool) -> object:
    """What means the same as in a check is said as there."""
    before = "secrets." if secret else ""
    own = HELP.get(f"{before}{kind}.{name}") or HELP.get(f"{before}{name}")
    return own or kind_help.help_for(kind, name, secret=secret)


def _template(part: str, way: notifiers.Notifier, stored: Mapping[str, str]) -> forms.CharField:
    built_in = way.TEMPLATES[part]
    rows = min(max(built_in.count("\n") + 1, 2), 14)
    attributes = {"rows": rows, "spellcheck": "false", "placeholder": built_in, "class": "template"}
    return forms.CharField(
        label="HTML" if part == "html" else part.capitalize(),
        required=False,
        strip=False,
        max_length=kind_fields.TEXT_MAX,
        initial=stored.get(part, ""),
        widget=UnfoldAdminTextareaWidget(attrs=attributes),
    )
