"""What the kinds of check without HTTP share: addresses like host:port, and connections that are checked."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from core import outbound
from services.probes.base import FailingError, ProbeError


def host_and_port(text: str, default: int | None = None) -> tuple[str, int]:
    """ "db:5432", "[::1]:5432" → host and port. Raises ValueError."""
    example = "host:port" if default is None else "host or host:port"
    try:
        parsed = urlsplit(f"//{text}")
        host, port = parsed.hostname, parsed.port or default
    except ValueError:
        host = port = None
    if not host or not port or parsed.path or parsed.username is not None or any(char.isspace() for char in text):
        raise ValueError(f"expected {example}, got {text!r}")
    return host, port


@contextmanager
def answered() -> Iterator[None]:
    """Within it, what goes wrong with a connection becomes a ProbeError."""
    try:
        yield
    except outbound.AnswerError as error:
        raise FailingError(str(error)) from None
    except outbound.OutboundError as error:
        raise ProbeError(str(error)) from None
    except (OSError, EOFError) as error:
        raise ProbeError(str(outbound.explained(error))) from None


async def connected(host: str, port: int, *, tls: ssl.SSLContext | None = None, name: str = "") -> outbound.Stream:
    """Raises ProbeError."""
    with answered():
        return await outbound.connect(host, port, tls=tls, name=name)
