"""What an alert does in the tree of routes, node by node, for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from alerts import matchers
from alerts.labels import Labels
from alerts.matchers import MatcherError
from alerts.routing import Node

TOLD, PASSED, REFUSED, UNSEEN = "told", "passed", "refused", "unseen"
ON_THE_WAY: Final = (TOLD, PASSED)
_NEXT_NAME: Final = re.compile(r"\s+(?=[a-zA-Z_]\w*\s*=)")


class Stop(msgspec.Struct, frozen=True):
    """A node, and what became of the alert there."""

    node: Node
    depth: int
    state: str  # TOLD: it stays here; PASSED: a child has it; REFUSED: it doesn't match; UNSEEN: nobody looked
    why: str  # a sentence without its end


def trace(root: Node, labels: Labels) -> list[Stop]:
    """All nodes, in the order of the tree."""
    return [*_at(root, 0, labels)]


def _at(node: Node, depth: int, labels: Labels) -> Iterator[Stop]:
    below: list[Stop] = []
    taken_by: Node | None = None
    took = False
    for child in node.children:
        if taken_by is not None:
            below += _unseen(child, depth + 1, f"{named(taken_by)} before it took the alert, and does not continue")
            continue
        wrong = next((each for each in child.matchers if not each.matches(labels)), None)
        if wrong is not None:
            below.append(Stop(child, depth + 1, REFUSED, _missed(wrong, labels)))
            for grandchild in child.children:
                below += _unseen(grandchild, depth + 2, "it is below a route that does not match")
            continue
        took = True
        below += _at(child, depth + 1, labels)
        taken_by = None if child.continues else child
    yield Stop(
        node, depth, PASSED if took else TOLD, "" if took else f"told to {node.options.receiver_name or 'nobody'}"
    )
    yield from below


def _missed(matcher: matchers.Matcher, labels: Labels) -> str:
    has = labels.get(matcher.name, "")
    return f"{matcher} does not hold: it is {has!r}" if has else f"{matcher} does not hold: there is no such label"


def _unseen(node: Node, depth: int, why: str) -> list[Stop]:
    found = [Stop(node, depth, UNSEEN, why)]
    for child in node.children:
        found += _unseen(child, depth + 1, why)
    return found


def named(node: Node) -> str:
    return ", ".join(map(str, node.matchers)) or node.name


def labels_of(text: str) -> dict[str, str]:
    """`severity=critical, service="api"`, also one per line or with spaces between them. Raises MatcherError."""
    lines = [line.strip().rstrip(",") for line in text.replace("\r\n", "\n").split("\n")]
    # Between quotes a semicolon or a space is one.
    parts = [line if '"' in line else _NEXT_NAME.sub(",", line.replace(";", ",")) for line in lines if line]
    found: dict[str, str] = {}
    for each in matchers.split(",".join(parts)):
        if each.is_regex or not each.is_equal:
            raise MatcherError(f"Expected labels of an alert, like severity=critical; got {each}.")
        found[each.name] = each.value
    return found


def text_of(labels: Labels) -> str:
    """`labels_of(text_of(labels)) == labels`, one per line."""
    return "\n".join(str(matchers.Matcher(name, value)) for name, value in labels.items())
