"""Which services a page shows, and in which order. The page and its WebSocket ask the same questions."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from django.db.models import QuerySet
from django.http import QueryDict

from services import visible
from services.models import Category, Service
from services.status import COLOURS, ORDER, Status

COLOUR_NAMES: Final = ("red", "yellow", "grey", "blue", "green")
VIEWS: Final = ("cards", "table")
PARAMETERS: Final = ("q", "colour", "label", "owner", "kind", "view")
TEXT_MAX: Final = 200  # characters of a parameter
_RANKS: Final = {status: rank for rank, status in enumerate(ORDER)}
_FIELDS: Final = (
    "pk", "name", "category", "status", "status_since", "reason", "owner", "description", "labels", "culprit_id",
    "explained_by_id",
)  # fmt: skip


class Filter(msgspec.Struct, frozen=True):
    """What an address asks for."""

    text: str = ""
    colours: frozenset[str] = frozenset()  # empty: all
    label: str = ""  # "team" or "team:payments"
    owner: str = ""
    kind: str = ""
    view: str = VIEWS[0]

    @property
    def narrows(self) -> bool:
        return bool(self.text or self.colours or self.label or self.owner or self.kind)


def parse(parameters: QueryDict) -> Filter:
    """Never fails: what is not understood is left out, as in an old link to a colour that is no more."""
    given = {name: parameters.get(name, "").strip()[:TEXT_MAX] for name in PARAMETERS}
    return Filter(
        text=given["q"],
        colours=frozenset(given["colour"].split(",")) & frozenset(COLOUR_NAMES),
        label=given["label"],
        owner=given["owner"],
        kind=given["kind"] if given["kind"] in Category.values else "",
        view=given["view"] if given["view"] in VIEWS else VIEWS[0],
    )


def kept(parameters: QueryDict) -> QueryDict:
    """The parameters that are the view, and no others."""
    view = QueryDict(mutable=True)
    for name in PARAMETERS:
        if value := parameters.get(name, "").strip()[:TEXT_MAX]:
            view[name] = value
    return view


class Brief(msgspec.Struct, frozen=True):
    """What the list knows of a service without asking further."""

    pk: int
    name: str
    category: str
    status: str
    status_since: datetime
    reason: str
    owner: str
    description: str
    labels: dict[str, str]
    culprit: int | None
    explained_by: int | None

    @property
    def colour(self) -> str:
        return COLOURS[Status(self.status)]

    @property
    def icon(self) -> str:
        return Category(self.category).icon

    @property
    def key(self) -> str:
        """Sorts: problems first, then by name. The browser compares the same texts."""
        return f"{_RANKS[Status(self.status)]}{self.name.lower()} {self.pk}"

    @property
    def digest(self) -> str:
        """Another one when the card is another."""
        seen = (self.name, self.status, self.status_since, self.reason, self.owner, self.category, self.labels)
        return f"{zlib.crc32(repr(seen).encode()):08x}"


def briefs(services: QuerySet[Service] | None = None) -> list[Brief]:
    """Those of `services`, in their order; without, all that the viewer may see. One query."""
    found = visible.services(Service.objects.order_by()) if services is None else services
    return [Brief(*row) for row in visible.rows_without_hidden(found.values_list(*_FIELDS), _FIELDS)]


def matches(brief: Brief, wanted: Filter) -> bool:
    """Whatever its colour: the page counts the colours of all that match."""
    if wanted.kind and brief.category != wanted.kind:
        return False
    if wanted.owner and brief.owner != wanted.owner:
        return False
    if wanted.label:
        name, colon, value = wanted.label.partition(":")
        if name not in brief.labels or (colon and brief.labels[name] != value):
            return False
    return not wanted.text or _has(brief, wanted.text)


def _has(brief: Brief, text: str) -> bool:
    """Each word somewhere in it."""
    said = "\n".join(
        (brief.name, brief.description, brief.owner, brief.reason, *(f"{n}:{v}" for n, v in brief.labels.items()))
    ).lower()
    return all(word in said for word in text.lower().split())


def shows(brief: Brief, wanted: Filter) -> bool:
    return (not wanted.colours or brief.colour in wanted.colours) and matches(brief, wanted)


class Listing(msgspec.Struct, frozen=True):
    shown: Sequence[Brief]  # in the order of the page
    counts: dict[str, int]  # by colour, of all that match
    total: int  # services that there are
    owners: Sequence[str]
    labels: Sequence[str]
    kinds: Sequence[str]


def look(wanted: Filter) -> Listing:
    everything = briefs()
    matching = [brief for brief in everything if matches(brief, wanted)]
    shown = [brief for brief in matching if not wanted.colours or brief.colour in wanted.colours]
    return Listing(
        shown=sorted(shown, key=lambda brief: brief.key),
        counts=count(brief.colour for brief in matching),
        total=len(everything),
        owners=sorted({brief.owner for brief in everything if brief.owner}),
        labels=sorted({f"{name}:{value}" for brief in everything for name, value in brief.labels.items()}),
        kinds=sorted({brief.category for brief in everything}),
    )


def count(colours: Iterable[str]) -> dict[str, int]:
    """Every colour, also those of nobody."""
    counted: Counter[str] = Counter(colours)
    return {colour: counted[colour] for colour in COLOUR_NAMES}
