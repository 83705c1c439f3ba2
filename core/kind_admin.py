"""The admin of what there is several kinds of: each has a form of its own, and another choice fetches its fields."""

from __future__ import annotations

from typing import Any

from django.db.models import Field
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin


class KindAdmin(ModelAdmin):  # type: ignore[misc]
    """Of a model with a field `kind`. What is a kind's own stands in a fieldset with the class "kind-fields"."""

    def kind_form(self, kind: str, obj: Any) -> type[ModelForm[Any]]:
        """The form of a kind; `obj` gives the values to begin with."""
        raise NotImplementedError

    def kind_of(self, request: HttpRequest, obj: Any) -> str:
        """As the form has it now; as the browser asks after another choice; as it is stored."""
        field = self.model._meta.get_field("kind")
        known = dict(field.flatchoices)
        stored = obj.kind if obj else field.get_default()
        asked = (request.POST.get("kind"), request.GET.get("kind"), stored, next(iter(known)))
        return next(kind for kind in asked if kind is not None and kind in known)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, form=self.kind_form(self.kind_of(request, obj), obj), **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"kind": self.kind_of(request, None), **super().get_changeform_initial_data(request)}

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "kind":
            # Another kind has other fields: they are fetched, what else is in the form stays.
            field.widget.attrs |= {
                "hx-get": request.path, "hx-trigger": "change", "hx-select": ".kind-fields",
                "hx-target": ".kind-fields", "hx-swap": "outerHTML", "hx-params": "kind",
            }  # fmt: skip
        return field
