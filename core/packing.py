"""Pages go out packed. Streams don't: what packs them would hold back events until there are enough."""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.middleware.gzip import GZipMiddleware
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def packed_pages(get_response: Any) -> Any:
    packer = GZipMiddleware(lambda _: None)  # type: ignore[arg-type]  # only what it makes of an answer

    def pack(request: HttpRequest, response: Any) -> Any:
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return response
        return packer.process_response(request, response)

    if iscoroutinefunction(get_response):

        async def packed_async(request: HttpRequest) -> Any:
            return pack(request, await get_response(request))

        return packed_async

    def packed(request: HttpRequest) -> Any:
        return pack(request, get_response(request))

    return packed
