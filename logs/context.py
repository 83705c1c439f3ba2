"""What the current request is called, for every line that is written on its behalf."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
trace: ContextVar[tuple[str, str]] = ContextVar("trace", default=("", ""))  # W3C trace id, span id
