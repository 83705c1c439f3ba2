"""`/doctor/`: what `manage.py doctor` says, for administrators; and docs/troubleshooting.md, for whom it is offline."""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Final, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from core.pages import requires, shell

PERMISSION: Final = "auth.change_user"  # who may say who may do what
WAIT: Final = 15.0  # seconds for somebody else's look to end

ELSEWHERE: Final = re.compile(r"\[([^\]]+)\]\([^)#]*\.md[^)]*\)")  # links to other files, which are not here

# One look at a time: a check that hangs keeps its thread.
_looking: Final = threading.Lock()


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@requires(PERMISSION)
def page(request: HttpRequest) -> HttpResponse:
    """Looks when it is asked to: a page that is opened asks nobody outside."""
    context = shell(request, "Doctor")
    if request.method == "POST":
        # Only who asks needs the checks, and what they import.
        from monitor import doctor

        if not _looking.acquire(timeout=WAIT):
            return render(request, "monitor/doctor.html", context | {"busy": True}, status=503)
        try:
            found = doctor.examine()
        finally:
            _looking.release()
        context |= {"found": found, "worst": doctor.worst(found), "at": timezone.now()}
    return render(request, "monitor/doctor.html", context)


@require_safe
@requires(PERMISSION)
def guide(request: HttpRequest) -> HttpResponse:
    return render(request, "monitor/guide.html", shell(request, "Troubleshooting", sections=sections()))


class Section(NamedTuple):
    slug: str  # as in links to it: "redis-is-away"
    title: str
    html: SafeString


@cache
def sections() -> tuple[Section, ...]:
    """Of docs/troubleshooting.md."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    text = ELSEWHERE.sub(r"\1", (settings.BASE_DIR / "docs" / "troubleshooting.md").read_text())
    first, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    first = first.partition("\n")[2]
    titles = ["First", *parts[::2]]
    bodies = [first, *parts[1::2]]
    return tuple(
        Section(slug(title), title, SafeString(reader.render(body))) for title, body in zip(titles, bodies, strict=True)
    )


def slug(title: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
