"""What runbooks and descriptions are written in: CommonMark without images, for those may be anywhere. HTML in it is
text, too; an address that nobody has marked as one is a link."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.utils.safestring import SafeString

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.tree import SyntaxTreeNode

ADDRESS: Final = re.compile(r"://[^\s<>\"'`*|\\\[\]]+")
SCHEME: Final = re.compile(r"(?<![\w.+-])https?$")
AFTER: Final = ".,;:!?_~"  # an address: of the sentence


class Block(NamedTuple):
    """An item of a list that is no part of another list, or anything between lists."""

    is_item: bool
    text: str  # as it was written, without code below it
    html: SafeString  # of what stands in the item


def html(source: str) -> SafeString:
    return SafeString(_reader().render(source))


def inline(line: str) -> SafeString:
    """What stands in a line, without a paragraph around it."""
    return SafeString(_reader().renderInline(line))


def blocks(source: str) -> Iterator[Block]:
    from markdown_it.tree import SyntaxTreeNode

    for node in SyntaxTreeNode(_reader().parse(source)).children:
        if node.type in ("bullet_list", "ordered_list"):
            yield from (Block(True, _text(item), _drawn(item.children)) for item in node.children)
        else:
            yield Block(False, _text(node), _drawn([node]))


def _text(node: SyntaxTreeNode) -> str:
    return next((inner.content for inner in node.walk() if inner.type == "inline"), "")


def _drawn(nodes: Sequence[SyntaxTreeNode]) -> SafeString:
    reader = _reader()
    tokens = [token for node in nodes for token in node.to_tokens()]
    return SafeString(reader.renderer.render(tokens, reader.options, {}).strip())


@lru_cache(maxsize=1)
def _reader() -> MarkdownIt:
    from markdown_it import MarkdownIt  # nothing but the pages of incidents and rules needs it

    reader = MarkdownIt("commonmark", {"html": False}).disable("image")
    reader.inline.ruler.push("bare_address", _bare_address)
    reader.add_render_rule("link_open", _link)
    return reader


def _link(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("class", "go")
    tokens[at].attrSet("rel", "noopener noreferrer")
    drawn: str = renderer.renderToken(tokens, at, options, env)
    return drawn


def _bare_address(state: StateInline, silent: bool) -> bool:
    """https://example.org/ is a link. Looked for at its colon, where a text pauses: what came before is pending."""
    found = ADDRESS.match(state.src, state.pos, state.posMax)
    scheme = SCHEME.search(state.pending)
    if not found or not scheme or state.linkLevel:
        return False
    rest = found[0].rstrip(AFTER)
    # The parenthesis that it stands in; one of its own stays.
    while rest.endswith(")") and rest.count(")") > rest.count("("):
        rest = rest[:-1].rstrip(AFTER)
    address = scheme[0] + rest
    href = state.md.normalizeLink(address)
    if len(rest) <= len("://") or not state.md.validateLink(href):
        return False
    if not silent:
        state.pending = state.pending[: scheme.start()]
        state.push("link_open", "a", 1).attrs = {"href": href}
        state.push("text", "", 0).content = address
        state.push("link_close", "a", -1)
    state.pos += len(rest)
    return True
