"""What runbooks are written in: a small part of Markdown, as HTML. Everything else is text, HTML included.

Paragraphs, headings (`## …`), lists (`- …`, `1. …`; lines that follow are indented), blocks of code between lines of
three backticks; within a line `code`, **bold**, *italic*, [text](https://…) and addresses as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

FENCE: Final = re.compile(r"\s{0,3}```")
ITEM: Final = re.compile(r"\s{0,3}(?:[-*+]|\d{1,3}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?(?P<text>.*)")
HEADING: Final = re.compile(r"\s{0,3}#{1,6}[ \t]+(?P<text>.*)")
INLINE: Final = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|\*\*(?P<bold>[^*\n]+)\*\*"
    r"|\*(?P<italic>[^*\s][^*\n]*)\*"
    r"|\[(?P<text>[^\[\]\n]+)\]\((?P<to>(?:https?://|mailto:|/(?!/))[^()\s]*)\)"
    r"|(?P<bare>https?://[^\s<>()\"'`]*[^\s<>()\"'`.,;:!?])"
)


class Block(NamedTuple):
    """A part of a text. Code is as it was written, everything else is a line of Markdown."""

    kind: str  # "text", "heading", "code", or "item" of a list
    text: str
    code: tuple[str, ...] = ()  # blocks that belong to an item


def blocks(source: str) -> list[Block]:
    found: list[Block] = []
    lines = iter(source.expandtabs(4).splitlines())
    apart = True  # an empty line came before
    for line in lines:
        if FENCE.match(line.lstrip()):
            _add_code(found, _fenced(lines), belongs=line[:1] == " ")
        elif heading := HEADING.match(line):
            found.append(Block("heading", heading["text"].strip(" #")))
        elif item := ITEM.match(line):
            found.append(Block("item", item["text"].strip()))
        elif not line.strip():
            apart = True
            continue
        elif found and not apart and found[-1].kind in ("text", "item") and not found[-1].code:
            found[-1] = found[-1]._replace(text=f"{found[-1].text} {line.strip()}")
        else:
            found.append(Block("text", line.strip()))
        apart = False
    return found


def _fenced(lines: Iterator[str]) -> str:
    code = []
    for line in lines:
        if FENCE.match(line.lstrip()):
            break
        code.append(line)
    least = min((len(line) - len(line.lstrip()) for line in code if line.strip()), default=0)
    return "\n".join(line[least:] for line in code)


def _add_code(found: list[Block], code: str, *, belongs: bool) -> None:
    """An indented one is part of the item above."""
    if belongs and found and found[-1].kind == "item":
        found[-1] = found[-1]._replace(code=(*found[-1].code, code))
    else:
        found.append(Block("code", code))


def inline(text: str) -> SafeString:
    """A line, without blocks."""
    at, parts = 0, []
    for match in INLINE.finditer(text):
        parts += [escape(text[at : match.start()]), _piece(match)]
        at = match.end()
    return _joined([*parts, escape(text[at:])])


def _piece(match: re.Match[str]) -> SafeString:
    if match["code"]:
        return format_html("<code>{}</code>", match["code"])
    if match["bold"]:
        return format_html("<strong>{}</strong>", inline(match["bold"]))
    if match["italic"]:
        return format_html("<em>{}</em>", inline(match["italic"]))
    address = match["to"] or match["bare"]
    return format_html('<a class="go" href="{}" rel="noreferrer">{}</a>', address, match["text"] or address)


def html(source: str) -> SafeString:
    """A whole text."""
    drawn: list[SafeString] = []
    for is_item, several in groupby(blocks(source), key=lambda block: block.kind == "item"):
        pieces = [block_html(block) for block in several]
        drawn += [format_html("<ul>{}</ul>", _joined(pieces))] if is_item else pieces
    return _joined(drawn)


def block_html(block: Block) -> SafeString:
    match block.kind:
        case "code":
            return _code((block.text,))
        case "item":
            return format_html("<li>{}</li>", item_html(block))
        case "heading":
            return format_html("<h4>{}</h4>", inline(block.text))
        case _:
            return format_html("<p>{}</p>", inline(block.text))


def item_html(block: Block) -> SafeString:
    """What stands in an item of a list."""
    return inline(block.text) + _code(block.code)


def _code(several: tuple[str, ...]) -> SafeString:
    return format_html_join("", "<pre>{}</pre>", ((each,) for each in several))


def _joined(parts: Iterable[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))
