"""The form fields of a kind, made from the structs of its options and secrets: what a kind takes stands in one place.

A field of a Struct becomes a form field by its type. What is as it would be anyway is not stored. A secret is never
shown again: an empty field keeps what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol

import msgspec
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from msgspec import inspect
from unfold import widgets

OPTION: Final = "option_"
SECRET: Final = "secret_"  # noqa: S105 - the beginning of a field's name
REMOVE: Final = "remove_"
TEXT_MAX: Final = 20_000  # characters
LONG: Final = frozenset({"body", "ca", "query", "cert", "key", "send"})  # texts of many lines


class Helps(Protocol):
    """Gives a sentence for a field of a kind."""

    def __call__(self, kind: str, name: str, *, secret: bool) -> object: ...


class LinesField(forms.CharField):
    """A list, one item per line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]


class PairsField(forms.CharField):
    """Names and texts, one `Name: text` per line, as headers are written."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}: {text}" for name, text in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        pairs: dict[str, str] = {}
        for line in (super().to_python(value) or "").splitlines():
            if not line.strip():
                continue
            name, colon, text = line.partition(":")
            if not colon or not name.strip():
                # The line may hold a secret: it is not told.
                raise ValidationError(_("Expected Name: text in each line, like Accept: application/json."))
            pairs[name.strip()] = text.strip()
        return pairs


class PlainJSONField(forms.JSONField):
    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class UnshownTextarea(widgets.UnfoldAdminTextareaWidget):  # type: ignore[misc]
    """Not even what was sent a moment ago, with something else that was wrong, comes back."""

    def format_value(self, value: Any) -> str:
        return ""


def option_fields(
    kind: str, struct: type[msgspec.Struct], stored: Mapping[str, Any], helps: Helps
) -> dict[str, forms.Field]:
    """Form field name → field. `stored` are the values to begin with."""
    found = {}
    for each in _fields(struct):
        made = _form_field(each, _text_widget(each))
        made.help_text = _help(made, helps(kind, each.name, secret=False))
        made.initial = stored.get(each.encode_name, _default(each))
        made.required = each.required and not isinstance(made, forms.BooleanField)
        found[OPTION + each.encode_name] = made
    return found


def secret_fields(
    kind: str, struct: type[msgspec.Struct], stored: Mapping[str, Any], helps: Helps
) -> dict[str, forms.Field]:
    """With a box to remove each that is stored. No value is in them."""
    found: dict[str, forms.Field] = {}
    for each in _fields(struct):
        single = isinstance(_bare(each.type), inspect.StrType) and each.name not in LONG
        widget: forms.Widget = (
            widgets.UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
            if single
            else UnshownTextarea(attrs={"rows": 3, "spellcheck": "false"})
        )
        made = _form_field(each, widget)
        made.required, made.initial = False, None
        made.label = f"{made.label} ({_('secret')})"
        made.help_text = _help(made, helps(kind, each.name, secret=True))
        if each.encode_name in stored:
            made.help_text = f"{made.help_text} {_('It is stored. Leave this empty to keep it as it is.')}".strip()
        found[SECRET + each.encode_name] = made
        if each.encode_name in stored:
            label = _("Remove the stored %(name)s") % {"name": made.label}
            found[REMOVE + each.encode_name] = forms.BooleanField(
                label=label, required=False, widget=widgets.UnfoldBooleanWidget
            )
    return found


def options_of(struct: type[msgspec.Struct], cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """What a form's cleaned data say, without what is the default anyway."""
    found = {}
    for each in _fields(struct):
        value, default = cleaned.get(OPTION + each.encode_name), _default(each)
        if value is None or (value in ("", [], {}) and not default) or (value == default and not each.required):
            continue
        found[each.encode_name] = value
    return found


def secrets_of(
    struct: type[msgspec.Struct], cleaned: Mapping[str, Any], stored: Mapping[str, Any]
) -> tuple[dict[str, Any], set[str]]:
    """All of them, and the names of those that are kept as they were stored."""
    found: dict[str, Any] = {}
    kept = set()
    for each in _fields(struct):
        name = each.encode_name
        if value := cleaned.get(SECRET + name):
            found[name] = value
        elif name in stored and not cleaned.get(REMOVE + name):
            found[name] = stored[name]
            kept.add(name)
    return found, kept


# --- Types -> fields -----------------------------------------------------------------------------------------------


def _fields(struct: type[msgspec.Struct]) -> Iterator[inspect.Field]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    yield from info.fields


def _default(field: inspect.Field) -> Any:
    """As JSON has it; None if there is none."""
    if field.default is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    return None


def _bare(kind: inspect.Type) -> inspect.Type:
    """Without its description, and without None."""
    if isinstance(kind, inspect.Metadata):
        return _bare(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        if len(others) == 1:
            return _bare(others[0])
    return kind


def _text_widget(field: inspect.Field) -> forms.Widget:
    if isinstance(_bare(field.type), inspect.StrType) and field.name not in LONG:
        line: forms.Widget = widgets.UnfoldAdminTextInputWidget(attrs={"spellcheck": "false"})
        return line
    lines: forms.Widget = widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"})
    return lines


def _help(field: forms.Field, said: object) -> str:
    """With how several values are written."""
    if isinstance(field, LinesField):
        return f"{said} {_('One per line.')}".strip()
    if isinstance(field, PairsField):
        return f"{said} {_('One per line, as Name: text.')}".strip()
    return str(said)


def _form_field(field: inspect.Field, text: forms.Widget) -> forms.Field:
    kind = _bare(field.type)
    name = field.name.replace("_", " ")
    label = name.upper() if field.name in ("ca", "json", "dsn", "tls") else name[:1].upper() + name[1:]
    shared: dict[str, Any] = {"label": label}
    if values := _values(kind):
        return _choice(values, shared)
    match kind:
        case inspect.BoolType():
            return forms.BooleanField(widget=widgets.UnfoldBooleanWidget, **shared)
        case inspect.IntType():
            return forms.IntegerField(
                min_value=kind.ge, max_value=kind.le, widget=widgets.UnfoldAdminIntegerFieldWidget, **shared
            )
        case inspect.FloatType():
            return forms.FloatField(
                min_value=kind.ge, max_value=kind.le, widget=widgets.UnfoldAdminDecimalFieldWidget, **shared
            )
        case inspect.StrType():
            return forms.CharField(max_length=kind.max_length or TEXT_MAX, widget=text, strip=False, **shared)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            if values := _values(kind.item_type):
                choices = [(str(value), str(value)) for value in values]
                boxes = widgets.UnfoldAdminCheckboxSelectMultipleWidget
                return forms.MultipleChoiceField(choices=choices, widget=boxes, **shared)
            if _is_text(kind.item_type):
                return LinesField(max_length=TEXT_MAX, widget=text, **shared)
        case inspect.DictType() if isinstance(_bare(kind.value_type), inspect.StrType):
            return PairsField(max_length=TEXT_MAX, widget=text, **shared)
    return PlainJSONField(widget=text, **shared)


def _is_text(kind: inspect.Type) -> bool:
    """Or a number that may be written as one."""
    bare = _bare(kind)
    kinds = bare.types if isinstance(bare, inspect.UnionType) else (bare,)
    return any(isinstance(each, inspect.StrType) for each in kinds) and all(
        isinstance(each, (inspect.StrType, inspect.IntType)) for each in kinds
    )


def _values(kind: inspect.Type) -> list[Any]:
    """Those that there are to choose from; none if it is no choice."""
    match _bare(kind):
        case inspect.LiteralType(values):
            return list(values)
        case inspect.EnumType(cls) | inspect.CustomType(cls) if issubclass(cls, Enum):  # Django's are the latter
            return [each.value for each in cls]
    return []


def _choice(values: Sequence[Any], shared: dict[str, Any]) -> forms.Field:
    by_text = {str(value): value for value in values}
    return forms.TypedChoiceField(
        choices=[(text, text) for text in by_text],
        coerce=lambda text: by_text[str(text)],
        widget=widgets.UnfoldAdminSelectWidget,
        **shared,
    )
