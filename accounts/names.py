"""Names of services, as keys and teams are limited to them: `checkout`, or `shop-*` for all that begin so. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

import msgspec
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

NAMES_MAX: Final = 100
LENGTH_MAX: Final = 200


class Names(msgspec.Struct, frozen=True):
    """Some names, without regard to case. `name in names` says whether one is among them."""

    exact: frozenset[str] = frozenset()  # casefolded, as the beginnings are
    beginnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        folded = {pattern.casefold() for pattern in patterns}
        beginnings = sorted(pattern[:-1] for pattern in folded if pattern.endswith("*"))
        return cls(frozenset(pattern for pattern in folded if not pattern.endswith("*")), tuple(beginnings))

    def __contains__(self, name: str) -> bool:
        folded = name.casefold()
        return folded in self.exact or folded.startswith(self.beginnings)

    def __bool__(self) -> bool:
        return bool(self.exact or self.beginnings)

    def __str__(self) -> str:
        return ", ".join([*sorted(self.exact), *(f"{beginning}*" for beginning in self.beginnings)])


def valid_pattern(pattern: str) -> None:
    """Raises ValidationError."""
    if not pattern.strip() or pattern != pattern.strip() or "," in pattern or "*" in pattern[:-1]:
        raise ValidationError(
            _("Expected the name of a service, or its beginning and a star like shop-*, but got “%(pattern)s”.")
            % {"pattern": pattern[:60]}
        )


def valid_patterns(value: object) -> None:
    """A list of patterns, perhaps an empty one. Raises ValidationError."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value) or len(value) > NAMES_MAX:
        raise ValidationError(_("Expected a list of at most %(most)d names of services.") % {"most": NAMES_MAX})
    for pattern in value:
        valid_pattern(pattern)
