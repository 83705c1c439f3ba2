"""Who needs whom must not go round in a circle: then nothing would explain anything. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def circle(edges: Iterable[tuple[T, T]]) -> list[T]:
    """The members of a circle among (child, parent), each followed by one that it needs; [] if there is none."""
    parents: dict[T, list[T]] = defaultdict(list)
    for child, parent in edges:
        parents[child].append(parent)
    done: set[T] = set()
    for start in list(parents):
        path: list[T] = []
        on_path: set[T] = set()
        # Without recursion: a chain may be as long as there are services.
        stack: list[tuple[T, bool]] = [(start, False)]
        while stack:
            node, left = stack.pop()
            if left:
                path.pop()
                on_path.discard(node)
                done.add(node)
            elif node in on_path:
                return path[path.index(node) :]
            elif node not in done:
                path.append(node)
                on_path.add(node)
                stack += [(node, True), *((parent, False) for parent in parents.get(node, ()))]
    return []


def sentence(names: Sequence[str]) -> str:
    first, *others = [*names, names[0]]
    if len(names) == 1:
        return f"{first} can't need itself."
    return f"Services would need each other in a circle: {first} needs {', which needs '.join(others)}."
