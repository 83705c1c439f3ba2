"""What to do about an incident: its rule's runbook, part by part, with the steps that people tick."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import count, groupby
from typing import Final, NamedTuple

from django.utils.safestring import SafeString

from alerts import markdown
from alerts.models import AlertRule

# Field of a rule → its title. What stands in a list of these parts is a step; the first two are for reading.
READ: Final = {"what": "What it means", "impact": "Impact"}
DONE: Final = {"diagnosis": "Diagnosis", "resolution": "Resolution", "escalating": "Escalation"}


class Step(NamedTuple):
    number: int  # counted through all parts, from 0
    text: str  # as it was written
    html: SafeString
    done: bool


class Piece(NamedTuple):
    """Steps in a row, or something between them."""

    steps: Sequence[Step] = ()
    html: SafeString = SafeString("")


class Part(NamedTuple):
    title: str
    pieces: Sequence[Piece]


class Runbook(NamedTuple):
    parts: Sequence[Part]

    @property
    def steps(self) -> list[Step]:
        return [step for part in self.parts for piece in part.pieces for step in piece.steps]

    @property
    def done(self) -> int:
        return sum(step.done for step in self.steps)


def runbook(rule: AlertRule, ticks: Collection[int]) -> Runbook:
    """Parts that say nothing are left out."""
    read = [Part(title, [Piece(html=markdown.html(getattr(rule, field)))]) for field, title in READ.items()]
    numbers = count()
    done = [Part(title, _pieces(getattr(rule, field), ticks, numbers)) for field, title in DONE.items()]
    return Runbook([part for part in [*read, *done] if any(piece.steps or piece.html for piece in part.pieces)])


def _pieces(source: str, ticks: Collection[int], numbers: Iterator[int]) -> list[Piece]:
    pieces: list[Piece] = []
    for is_step, blocks in groupby(markdown.blocks(source), key=lambda block: block.is_item):
        if is_step:
            pieces.append(Piece([_step(block, next(numbers), ticks) for block in blocks]))
        else:
            pieces += [Piece(html=block.html) for block in blocks]
    return pieces


def _step(block: markdown.Block, number: int, ticks: Collection[int]) -> Step:
    return Step(number, block.text, block.html, number in ticks)
