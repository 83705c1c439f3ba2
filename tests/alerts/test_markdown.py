"""Runbooks are CommonMark; HTML in them is text, and the items of their lists are steps."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.markdown import blocks, html, inline


def link(address: str, text: str = "") -> str:
    return f'<a href="{address}" class="go" rel="noopener noreferrer">{text or address}</a>'


CASES = {
    "## What `it` is": "<h2>What <code>it</code> is</h2>",
    "- one\n- two": "<ul>\n<li>one</li>\n<li>two</li>\n</ul>",
    "```\n- **raw**\n```": "<pre><code>- **raw**\n</code></pre>",
    "[here](https://a.b/?c=1&d=2)": f"<p>{link('https://a.b/?c=1&amp;d=2', 'here')}</p>",
    "[x](javascript:alert(1))": "<p>[x](javascript:alert(1))</p>",
    "[x](data:text/html,x)": "<p>[x](data:text/html,x)</p>",
    "<script>alert(1)</script>": "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>",
    "![x](https://a.b/c.png)": f"<p>!{link('https://a.b/c.png', 'x')}</p>",
    "<b onclick=x>": "<p>&lt;b onclick=x&gt;</p>",
    "": "",
}

BARE_ADDRESSES = {
    "See https://a.b/c?d=1_2_3#e.": f"See {link('https://a.b/c?d=1_2_3#e')}.",
    "(http://a.b/c_(d))": f"({link('http://a.b/c_(d)')})",
    "**https://a.b/**": f"<strong>{link('https://a.b/')}</strong>",
    'https://a.b/?x=1&y="><script>': f"{link('https://a.b/?x=1&amp;y=')}&quot;&gt;&lt;script&gt;",
    "[see https://a.b/](https://c.d/)": link("https://c.d/", "see https://a.b/"),
    "<https://a.b/>": link("https://a.b/"),
    "`https://a.b/`": "<code>https://a.b/</code>",
    "https://": "https://",
    "https://.": "https://.",
    "xhttps://a.b/ javascript://a.b/ ftp://a.b/": "xhttps://a.b/ javascript://a.b/ ftp://a.b/",
}


@pytest.mark.parametrize("source", CASES)
def test_a_text_becomes(source: str) -> None:
    assert html(source).strip() == CASES[source]


@pytest.mark.parametrize("source", BARE_ADDRESSES)
def test_an_address_in_a_text(source: str) -> None:
    assert inline(source) == BARE_ADDRESSES[source]


def test_items_of_lists_are_told_from_what_is_between_them() -> None:
    source = "At first:\n\n1. There? `docker ps`\n2. Start it:\n\n   ```\n   docker start\n   ```\n   - slowly\n\nEnd."
    found = list(blocks(source))
    assert [(block.is_item, block.text) for block in found] == [
        (False, "At first:"), (True, "There? `docker ps`"), (True, "Start it:"), (False, "End."),
    ]  # fmt: skip
    assert "<pre><code>docker start\n</code></pre>" in found[2].html
    assert "slowly" in found[2].html


def test_a_line_has_no_blocks() -> None:
    assert inline("- run `it` <b>") == "- run <code>it</code> &lt;b&gt;"


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


BARE = (
    "p",
    "ul",
    "li",
    "pre",
    "code",
    "em",
    "strong",
    "hr",
    "br",
    "blockquote",
    *(f"h{level}" for level in range(1, 7)),
)
KNOWN = {(tag, ()) for tag in BARE} | {
    ("ol", ()), ("ol", ("start",)), ("code", ("class",)), ("a", ("href", "class", "rel")),
}  # fmt: skip


PIECES = st.sampled_from(["https://", "a.b", *"<>&\"'`*[]()#- \n1.ax:/!"])


@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_text_makes_an_element_or_an_attribute_of_its_own(source: str) -> None:
    elements = _Elements()
    elements.feed(html(source))
    assert set(elements.found) <= KNOWN
