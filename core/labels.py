"""Labels: names and texts, as people and programs put them on things."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

LABELS_MAX = 50
LABEL_MAX = 200  # characters of a name or a value


def valid_labels(value: object) -> None:
    if not isinstance(value, dict) or not all(isinstance(part, str) for pair in value.items() for part in pair):
        raise ValidationError(_('Expected names and texts, like {"team": "payments"}.'))
    if len(value) > LABELS_MAX:
        raise ValidationError(_("At most %(max)d labels."), params={"max": LABELS_MAX})
    for name, text in value.items():
        if not name.strip() or len(name) > LABEL_MAX or len(text) > LABEL_MAX:
            raise ValidationError(
                _("A label has a name; name and text have at most %(max)d characters: %(name)s"),
                params={"max": LABEL_MAX, "name": name[:40]},
            )
