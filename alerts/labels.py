"""The labels of an alert: what makes it the alert that it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from core import labels

Labels = Mapping[str, str]

ALERTNAME: Final = "alertname"
SEVERITY: Final = "severity"
NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")  # as Prometheus has them


def valid_labels(value: object) -> None:
    """Of a rule: names that Prometheus takes, without those that evaluation gives."""
    labels.valid_labels(value)
    assert isinstance(value, dict)
    for name in value:
        if not NAME.fullmatch(name):
            raise ValidationError(
                _("A label's name has letters, digits and _, and begins with no digit; this one does not: %(name)s"),
                params={"name": name},
            )
        if name in (ALERTNAME, SEVERITY):
            raise ValidationError(_("The label %(name)s comes from the rule itself."), params={"name": name})


def fingerprint(given: Labels) -> str:
    """16 hexadecimal digits; equal for equal labels, whatever their order."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(given):
        digest.update(name.encode() + b"\xff" + given[name].encode() + b"\xff")
    return digest.hexdigest()


def common(several: Iterable[Labels]) -> dict[str, str]:
    """What all of them have, with the same value."""
    found: dict[str, str] | None = None
    for each in several:
        found = dict(each) if found is None else {name: text for name, text in found.items() if each.get(name) == text}
    return found or {}
