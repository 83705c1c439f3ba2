"""What Apprise speaks for us: a kind of channel for each service in `KINDS`, with an address as Apprise writes it.

Apprise would connect by itself, with `requests`: to any address, and it says only whether it worked. So the plugins get
something else under that name, which sends through `core.http`. There every address is checked when it is connected to,
answers are bounded, and redirects are not followed; and their statuses are known here. Plugins that speak anything but
HTTP are not in `KINDS`; options of an address that make a plugin read a file or fetch one are refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from alerts import wording
from alerts.models.deliveries import Reason
from alerts.notifications import Notification
from alerts.notifiers import web
from alerts.notifiers.base import NotifierError, Target

if TYPE_CHECKING:
    from core.http import Answer


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str = ""


TEMPLATES: Mapping[str, str] = {
    "title": "{{ .icon }} {{ .headline }}",
    "text": """\
{{ .text }}
{{ range .alerts }}
{{ .icon }} {{ .name }}{{ with .labels.service }} · {{ . }}{{ end }} ({{ .status }})
{{ with .summary }}{{ . }}
{{ end }}{{ with .description }}{{ . }}
{{ end }}{{ end }}{{ if .left_out }}and {{ .left_out }} more
{{ end }}{{ with .by }}By {{ . }}.
{{ end }}{{ with .incident_url }}{{ . }}
{{ end }}{{ with .runbook_url }}Runbook: {{ . }}{{ end }}""",
}
TEXT_MAX: Final = 3_500  # characters: more than most services take in one message
# What may stand behind the ? of an address. Others make some plugins read a file, fetch one, or try again.
PARAMETERS: Final = frozenset(
    {"channel", "device", "key", "ping", "preview", "priority", "region", "silent", "sound", "tags", "thread", "to",
     "token", "topic", "ttl", "verify"}
)  # fmt: skip
# One place that hangs holds these threads, and no other work.
_threads: Final = ThreadPoolExecutor(4, thread_name_prefix="apprise")


class Apprised:
    """A Notifier for one service."""

    FOR_PEOPLE, ACKNOWLEDGES = True, False
    PLACES: frozenset[str] = frozenset()
    Options: type[msgspec.Struct] = NoOptions
    Secrets: type[msgspec.Struct] = Address
    TEMPLATES = TEMPLATES

    def __init__(self, label: str, example: str, plugin: str, *schemas: str) -> None:
        self.LABEL, self.HELP = label, f"Through Apprise. The address is like {example}"
        self._plugin, self._schemas = plugin, schemas

    def check(self, options: NoOptions, secrets: Address) -> None:
        self._made(secrets.url)

    def preview(self, notification: Notification, target: Target) -> Mapping[str, str]:
        parts = {part: wording.worded(part, notification, target, TEMPLATES, harmless) for part in TEMPLATES}
        return {"title": wording.line(parts["title"]), "text": re.sub(r"\n{3,}", "\n\n", parts["text"])[:TEXT_MAX]}

    async def send(self, notification: Notification, target: Target) -> str:
        loop = asyncio.get_running_loop()
        talk = Talk(loop, target.timeout)
        work = partial(self._notify, target.secrets.url, self.preview(notification, target), _kind_of(notification))
        taken = await loop.run_in_executor(_threads, _talking(talk, work))
        if taken and talk.answers:
            return web.said(talk.answers[-1])
        talk.explain()
        raise NotifierError("the service did not take the message, and said nothing")

    def _notify(self, url: str, parts: Mapping[str, str], kind: str) -> bool:
        try:
            plugin = self._made(url)
        except ValueError as error:
            raise NotifierError(str(error), permanent=True) from None
        from apprise import NotifyFormat, NotifyType

        taken = plugin.notify(
            body=parts["text"], title=parts["title"], notify_type=NotifyType(kind), body_format=NotifyFormat.TEXT
        )
        return bool(taken)

    def _made(self, url: str) -> Any:
        """The plugin with its settings. Raises ValueError."""
        schema = urlsplit(url).scheme.lower()
        if schema not in self._schemas:
            raise ValueError(f"expected an address that begins with {self._schemas[0]}://")
        wrong = {name for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)} - PARAMETERS
        if wrong:
            # Some plugins read "+name" and the like as headers of their own.
            raise ValueError(f"expected no other parameters than {', '.join(sorted(PARAMETERS))}")
        made = self._class().parse_url(url)
        if not made:
            raise ValueError("the address can't be read: see its form above")
        from apprise import AppriseAsset

        asset = AppriseAsset(storage_mode="memory", plugin_paths=[], async_mode=False)
        try:
            plugin = self._class()(**made, asset=asset)
        except (TypeError, ValueError) as error:  # Apprise's own errors are TypeErrors
            raise ValueError(f"the address can't be used: {error}") from None
        if len(plugin) != 1:
            # What one of several has not taken would be sent to all of them again.
            raise ValueError(f"expected one recipient, got {len(plugin)}: make a channel for each")
        return plugin

    def _class(self) -> Any:
        module = import_module(f"apprise.plugins.{self._plugin}")
        module.requests = _OURS  # type: ignore[attr-defined]
        [found] = (
            each for name, each in vars(module).items() if name.startswith("Notify") and _is_plugin(each, module)
        )
        return found


def _is_plugin(value: Any, module: Any) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__


def _kind_of(notification: Notification) -> str:
    """Of Apprise's four."""
    if notification.reason == Reason.RESOLVED:
        return "success"
    return {"critical": "failure", "high": "failure", "info": "info"}.get(notification.severity, "warning")


def harmless(text: str) -> str:
    """Nobody is called by what stands in a label or a log line: a space without width is behind each @ that would."""
    return _CALLS.sub(lambda found: f"{found[0]}\u200b", text)


_CALLS: Final = re.compile(r"@(?=everyone|here|channel|all\b|room)|<(?=[@#!])", re.IGNORECASE)

# Label, example of an address, module of Apprise, schemas.
KINDS: Final[dict[str, Apprised]] = {
    "teams": Apprised("Microsoft Teams (workflow)", "workflows://host/workflow/signature", "workflows", "workflows"),
    "telegram": Apprised("Telegram", "tgram://bot-token/chat-id", "telegram", "tgram"),
    "discord": Apprised("Discord", "discord://webhook-id/webhook-token", "discord", "discord"),
    "googlechat": Apprised("Google Chat", "gchat://workspace/key/token", "google_chat", "gchat"),
    "mattermost": Apprised("Mattermost", "mmosts://host/token", "mattermost", "mmosts", "mmost"),
    "rocketchat": Apprised("Rocket.Chat", "rockets://user:token@host/#channel", "rocketchat", "rockets", "rocket"),
    "webex": Apprised("Webex", "wxteams://webhook-token", "webexteams", "wxteams", "webex"),
    "zulip": Apprised("Zulip", "zulip://bot@organization/token/channel", "zulip", "zulip"),
    "pushover": Apprised("Pushover", "pover://user-key@token", "pushover", "pover"),
    "ntfy": Apprised("ntfy", "ntfys://host/topic", "ntfy", "ntfys", "ntfy"),
    "gotify": Apprised("Gotify", "gotifys://host/token", "gotify", "gotifys", "gotify"),
    "twilio": Apprised("Twilio (SMS)", "twilio://sid:token@from-number/to-number", "twilio", "twilio"),
}


# --- Instead of requests -------------------------------------------------------------------------------------------


class Talk:
    """The requests of one message, made by a thread of ours and carried out in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop, self._end = loop, loop.time() + timeout
        self.answers: list[Answer] = []
        self._error: NotifierError | None = None

    def fetch(self, method: str, prepared: Any, verify: bool) -> Answer:
        """Raises OutboundError."""
        from core import http
        from core.outbound import AddressRefusedError, OutboundError, TimedOutError

        body = prepared.body or b""
        left = self._end - self._loop.time()
        asked = http.fetch(
            prepared.url, method=method, headers=dict(prepared.headers), redirects=0, verify=verify,
            timeout=max(left, 0.1), body=body.encode() if isinstance(body, str) else body, body_max=web.ANSWER_MAX,
        )  # fmt: skip
        try:
            answer = asyncio.run_coroutine_threadsafe(asked, self._loop).result(max(left, 0.1) + 1)
        except TimeoutError:
            raise TimedOutError("no answer in time") from None
        except OutboundError as error:
            self._error = NotifierError(str(error), permanent=isinstance(error, AddressRefusedError))
            raise
        self.answers.append(answer)
        return answer

    def explain(self) -> None:
        """Raises NotifierError with what went wrong, if that is known."""
        if self._error:
            raise self._error
        for answer in reversed(self.answers):
            web.judge(answer.status, web.said(answer), answer.headers.get("Retry-After", ""))


_talk: Final[ContextVar[Talk]] = ContextVar("talk")


def _talking(talk: Talk, work: Callable[[], bool]) -> Callable[[], bool]:
    context = copy_context()
    context.run(_talk.set, talk)
    return partial(context.run, work)


def _request(method: str, url: str, **given: Any) -> Any:
    """As requests.request, through `core.http`. Raises requests.RequestException."""
    import requests

    from core.outbound import OutboundError

    known = {name: given[name] for name in ("headers", "data", "json", "params", "auth") if name in given}
    prepared = requests.Request(method, url, **known).prepare()
    try:
        answer = _talk.get().fetch(method, prepared, given.get("verify", True) is not False)
    except OutboundError as error:
        raise requests.ConnectionError(str(error)) from None
    response = requests.Response()
    response.status_code, response.reason, response.url = answer.status, answer.reason, answer.url
    response.headers.update(answer.headers)
    response._content = answer.body  # it has no public way in
    return response


class _Requests(SimpleNamespace):
    """What plugins may have of requests; all that it can't do fails."""

    def __getattr__(self, name: str) -> Any:
        if name in ("codes", "exceptions", "RequestException", "ConnectionError", "Timeout", "HTTPError"):
            import requests

            return getattr(requests, name)
        raise AttributeError(f"{name} of requests is not available to plugins of Apprise")


_OURS: Final = _Requests(
    request=_request,
    **{method: partial(_request, method.upper()) for method in ("get", "post", "put", "patch", "delete", "head")},
)
