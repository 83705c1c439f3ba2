"""Labels as people write them, `team=payments; env=prod`, one per line or with semicolons; or as JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping


def read(text: str) -> dict[str, str]:
    """Raises ValueError with a sentence."""
    if text.lstrip().startswith("{"):
        return _from_json(text)
    found: dict[str, str] = {}
    for part in re.split(r"[;\n]", text):
        if not part.strip():
            continue
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise ValueError(f"expected name=value, like team=payments, got {part.strip()[:60]!r}")
        if name in found:
            raise ValueError(f"the label {name[:60]!r} is there twice")
        found[name] = value
    return found


def _from_json(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"expected JSON after {{, got {text.strip()[:60]!r}") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError('expected names and texts, like {"team": "payments"}')
    return found


def write(labels: Mapping[str, str], separator: str = "; ") -> str:
    """`read(write(labels)) == labels`, also for those that lines can't hold."""
    text = separator.join(f"{name}={value}" for name, value in labels.items())
    try:
        exact = read(text) == labels
    except ValueError:
        exact = False
    return text if exact else json.dumps(labels, ensure_ascii=False)
