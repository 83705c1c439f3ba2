"""What every answer tells the browser beside its content: where code may come from, and what a page may not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# Of what a page could ask a browser for, it needs the clipboard and passkeys.
PERMISSIONS: Final = ", ".join(
    [
        *(f"{name}=()" for name in ("accelerometer", "camera", "display-capture", "geolocation", "gyroscope")),
        *(f"{name}=()" for name in ("hid", "magnetometer", "microphone", "midi", "payment", "serial", "usb")),
        "clipboard-write=(self)",
        "publickey-credentials-create=(self)",
        "publickey-credentials-get=(self)",
    ]
)


def content_policy(*, https: bool, posted_to: str = "") -> dict[str, Any]:
    """For django-csp. `posted_to` is an address that the answer to a form may redirect to: a single sign-on."""
    forms = [SELF]
    if posted_to:
        parts = urlsplit(posted_to)
        forms.append(f"{parts.scheme}://{parts.netloc}")
    return {
        "DIRECTIVES": {
            "default-src": [NONE],
            # Alpine, which the shell is made with, makes functions of the expressions in its attributes.
            "script-src": [SELF, UNSAFE_EVAL],
            "style-src": [SELF, UNSAFE_INLINE],
            "style-src-elem": [SELF],
            # Lengths and depths are drawn by style attributes.
            "style-src-attr": [UNSAFE_INLINE],
            "font-src": [SELF],
            "img-src": [SELF, "data:"],
            "connect-src": [SELF],  # WebSockets of this host are meant, too (CSP 3)
            "manifest-src": [SELF],
            "object-src": [NONE],
            "base-uri": [NONE],
            "form-action": forms,
            "frame-ancestors": [NONE],
            "upgrade-insecure-requests": https,
        }
    }


def of_static_files(headers: Any, path: str, url: str) -> None:
    """For servestatic. A file that somebody opens by itself (a picture can have scripts) may do nothing."""
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


@sync_and_async_middleware
def permissions_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    def told(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response

    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return told(await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        return told(get_response(request))

    return answer
