"""The part of Markdown that runbooks are written in: what it makes, and that everything else is text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.markdown import blocks, html

CASES = {
    "a line\nand its end": "<p>a line and its end</p>",
    "one\n\ntwo": "<p>one</p><p>two</p>",
    "## What `it` is ##": "<h4>What <code>it</code> is</h4>",
    "- one\n  goes on\n* two\n1. three": "<ul><li>one goes on</li><li>two</li><li>three</li></ul>",
    "- [ ] one\n- [x] two": "<ul><li>one</li><li>two</li></ul>",
    "- run\n  ```sh\n  a\n    b\n  ```\n- then": "<ul><li>run<pre>a\n  b</pre></li><li>then</li></ul>",
    "```\n- **raw**\n```": "<pre>- **raw**</pre>",
    "```\nnever closed": "<pre>never closed</pre>",
    "**bold**, *light* and `**code**`": "<p><strong>bold</strong>, <em>light</em> and <code>**code**</code></p>",
    "2 * 3 * 4, snake_case_name": "<p>2 * 3 * 4, snake_case_name</p>",
    "[here](https://a.b/?c=1&d=2)": '<p><a class="go" href="https://a.b/?c=1&amp;d=2" rel="noreferrer">here</a></p>',
    "see https://a.b/c.": '<p>see <a class="go" href="https://a.b/c" rel="noreferrer">https://a.b/c</a>.</p>',
    "[x](javascript:alert(1))": "<p>[x](javascript:alert(1))</p>",
    "<script>alert(1)</script>": "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>",
    '[x](/"on="y)': '<p><a class="go" href="/&quot;on=&quot;y" rel="noreferrer">x</a></p>',
    "": "",
}


@pytest.mark.parametrize("source", CASES)
def test_a_text_becomes(source: str) -> None:
    assert html(source) == CASES[source]


@given(st.text(alphabet="<>&\"'`*[]()#- \n1.ax:/", max_size=80))
def test_no_text_makes_an_element_or_an_attribute_of_its_own(source: str) -> None:
    drawn: str = html(source)
    for known in (
        "<p>",
        "</p>",
        "<ul>",
        "</ul>",
        "<li>",
        "</li>",
        "<pre>",
        "</pre>",
        "<h4>",
        "</h4>",
        "<code>",
        "</code>",
    ):
        drawn = drawn.replace(known, "")
    for known in ("<strong>", "</strong>", "<em>", "</em>", "</a>"):
        drawn = drawn.replace(known, "")
    assert "<" not in drawn.replace('<a class="go" href="', "")
    assert len(blocks(source)) <= source.count("\n") + 1
