"""How the metadata of a record is searched: bytes as stored, and what to look for in them.

A needle is text that must stand in the folded metadata for a node to match; it is sought before anything is decoded.
Whether the key then really has the value is for `lookup` to say, on decoded metadata.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final

MISSING: Final = object()
STRING: Final = r'"(?:[^"\\]|\\.)*"'  # in JSON, and a quoted text in a query


def any_in(needles: tuple[bytes, ...], haystack: bytes) -> bool:
    for needle in needles:  # noqa: SIM110
        if needle in haystack:
            return True
    return False


def fold_metadata(metadata: bytes) -> bytes:
    """Metadata as needles are sought in it: without case, UTF-8."""
    if metadata.isascii():
        return metadata.lower()
    return metadata.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")


# --- Text in metadata ----------------------------------------------------------------------------------------------

_SPACE_AT_MARK: Final = re.compile(rf"({STRING})|\s*([\[\]{{}}:,])\s*", re.DOTALL)


def metadata_needles(needle: str) -> tuple[bytes, ...]:
    folded = needle.casefold()
    forms = [written[1:-1] for written in _in_json(needle)]
    if re.search(r'["\[{]', folded):
        forms += [folded, _compact(folded), _compact_after_string(folded)]
    return tuple(dict.fromkeys(form.encode() for form in forms if form))


def _in_json(text: str) -> list[str]:
    """What a text is in JSON, as `fold_metadata` leaves it, quotes included."""
    forms = [json.dumps(text.casefold(), ensure_ascii=ascii_only) for ascii_only in (False, True)]
    if not text.isascii():
        # "Ü" may stand there as \u00dc, and no folding of the bytes makes \u00fc of it: each usual case is a form.
        cases = text, text.lower(), text.upper(), text.capitalize(), text.title()
        forms += [json.dumps(case).lower() for case in cases]
    return forms


def _compact(fragment: str) -> str:
    """JSON without spaces around its marks: metadata is stored like that, and pasted from where it is not."""
    return _SPACE_AT_MARK.sub(lambda found: found[1] or found[2], fragment)


def _compact_after_string(fragment: str) -> str:
    """The same for a fragment that begins inside a string."""
    inside, quote, rest = fragment.partition('"')
    return inside + quote + _compact(rest)


# --- Keys of the metadata ------------------------------------------------------------------------------------------

# Between the words of a key: user_id, user-id, userId, HTTPStatus; but not at the start of _id.
_WORD_BREAK: Final = re.compile(
    r"(?<=[^_-])[_-]+(?=[^_-])|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])",
)


def lookup(metadata: object, path: tuple[str, ...]) -> object:
    """What stands at the path in decoded metadata, or in its "context" object; MISSING if nothing does.

    Keys are found in snake, kebab and camel case and with dots in them ("user.id"). Where a list stands on the path,
    the answer is the list of what its items have.
    """
    steps = tuple(key_forms(key) for key in path)
    found = _walk(metadata, steps)
    return _walk(metadata, (key_forms("context"), *steps)) if found is MISSING else found


def _walk(value: object, steps: tuple[frozenset[str], ...]) -> object:
    if not steps:
        return value
    if isinstance(value, list):
        return [found for item in value if (found := _walk(item, steps)) is not MISSING] or MISSING
    if isinstance(value, dict):
        for key, child in value.items():
            taken = _steps_taken(key.casefold(), steps)
            if taken and (found := _walk(child, steps[taken:])) is not MISSING:
                return found
    return MISSING


def _steps_taken(key: str, steps: tuple[frozenset[str], ...]) -> int:
    """How many steps of the path a key goes: one, none, or as many as it has dots and one more."""
    if key in steps[0]:
        return 1
    parts = key.split(".")
    fits = 1 < len(parts) <= len(steps) and all(part in step for part, step in zip(parts, steps, strict=False))
    return len(parts) if fits else 0


@lru_cache(maxsize=1_024)
def key_forms(key: str) -> frozenset[str]:
    """The casefolded forms in which a key is found: user_id, user-id and userid for any spelling but the last."""
    return frozenset(spelling.casefold() for spelling in _spellings(key))


def _spellings(key: str) -> list[str]:
    words = _WORD_BREAK.split(key)
    return [key, *(joint.join(words) for joint in ("_", "-", ""))]


@lru_cache(maxsize=1_024)
def key_needles(path: tuple[str, ...]) -> tuple[bytes, ...]:
    quoted = [form for spelling in _spellings(path[-1]) for form in _in_json(spelling)]
    ends = [f".{form[1:]}" for form in quoted] if len(path) > 1 else []  # of "user.id"
    return tuple(dict.fromkeys(form.encode() for form in quoted + ends))
