"""Pages are packed for those who can unpack them; answers of the API and streams are left as they are."""

from __future__ import annotations

import gzip

import pytest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import RequestFactory

from core.packing import packed_pages

PAGE = "<p>hello</p>" * 100


def answered(response: HttpResponseBase, accept: str = "gzip") -> HttpResponseBase:
    def view(_: HttpRequest) -> HttpResponseBase:
        return response

    answer: HttpResponseBase = packed_pages(view)(RequestFactory().get("/", HTTP_ACCEPT_ENCODING=accept))
    return answer


def test_a_page_is_packed() -> None:
    answer = answered(HttpResponse(PAGE))
    assert isinstance(answer, HttpResponse)
    assert gzip.decompress(answer.content).decode() == PAGE
    assert answer["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse("x" * 1_000, content_type="application/json"),
        StreamingHttpResponse([PAGE], content_type="text/html"),
    ],
    ids=["api", "stream"],
)
def test_others_are_not(response: HttpResponseBase) -> None:
    assert "Content-Encoding" not in answered(response)


def test_nor_for_who_can_t_unpack() -> None:
    assert "Content-Encoding" not in answered(HttpResponse(PAGE), accept="")
