"""What Pharos reaches: mail, channels, Docker, and who watches it."""

from __future__ import annotations

import smtplib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from django.conf import settings

from alerts.models import Channel
from core import clock
from logs import stream
from monitor import watchdog
from monitor.doctor.broker import TIMEOUT
from monitor.doctor.findings import Finding, ok, problem, warning
from services import containers
from services.models import DockerHost

MAIL_SECONDS: Final = 5.0
HOSTS_MAX: Final = 20
AT_ONCE: Final = 5


def channels() -> Finding:
    enabled = Channel.objects.filter(enabled=True).select_related("receiver")
    if not enabled.exists():
        return warning("There is no channel: nobody is told of anything.", "Add one in the admin, under Channels.")
    if off := enabled.exclude(disabled_reason="").first():
        return problem(f"{off} is off: {off.disabled_reason.rstrip('.')}.", "Correct it, and send a test message.")
    if failing := enabled.exclude(failing_since=None).first():
        said = f"{failing} fails since {failing.failing_since:%Y-%m-%d %H:%M} UTC."
        return warning(said, "See the answers under Deliveries in the admin.", "messages-dont-arrive")
    return ok(f"{enabled.count()} can be used.")


def mail() -> Finding:
    if not settings.EMAIL_HOST:
        if Channel.objects.filter(enabled=True, kind="email").exists():
            said = "EMAIL_URL is not set, but there are channels of the kind e-mail."
            return problem(said, "Set EMAIL_URL.", "messages-dont-arrive")
        return ok("None is set.")
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    kind = smtplib.SMTP_SSL if settings.EMAIL_USE_SSL else smtplib.SMTP
    try:
        server = kind(settings.EMAIL_HOST, settings.EMAIL_PORT, timeout=MAIL_SECONDS)
        try:
            if settings.EMAIL_USE_TLS:
                server.starttls()
            if settings.EMAIL_HOST_USER:
                server.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
            server.noop()
        finally:
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
    except (smtplib.SMTPException, OSError) as error:
        why = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        return problem(f"The mail server {where} can't be used: {why}.", "See EMAIL_URL.", "messages-dont-arrive")
    return ok(f"{where} answers.")


def docker_hosts() -> Finding:
    hosts = list(DockerHost.objects.filter(enabled=True).order_by("name")[:HOSTS_MAX])
    if not hosts:
        return ok("None is watched.")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = {host.name: error for host, error in zip(hosts, pool.map(_error, hosts), strict=True) if error}
    if wrong:
        name, error = next(iter(wrong.items()))
        more = f" ({len(wrong)} of {len(hosts)} fail)" if len(wrong) > 1 else ""
        return problem(
            f"{name}: {error.rstrip('.')}{more}.", "See docs/containers.md.", "the-lines-of-containers-dont-appear"
        )
    return ok(f"{len(hosts)} answer{'s' * (len(hosts) == 1)}.")


def _error(host: DockerHost) -> str:
    try:
        containers.test_connection(host)
    except OSError as error:
        return str(error)
    return ""


def heartbeat() -> Finding:
    """What the worker found when it pinged last."""
    if not settings.HEARTBEAT_URL:
        said = "PHAROS_HEARTBEAT_URL is not set: when all of Pharos is gone, nobody is told."
        return warning(said, "Have it watched from outside: see Watchdog in docs/operations.md.")
    with stream.connect(TIMEOUT) as client:
        last = watchdog.last(client)
    if last is None:
        return warning("It was not pinged yet.", "It is pinged each minute, by the worker.", "a-process-is-missing")
    ago = (clock.now() - last.at) / clock.SECOND
    if last.error:
        return problem(f"It can't be pinged: {last.error}.", "See PHAROS_HEARTBEAT_URL, and the way out.")
    if last.failing:
        return problem(f"It was told that Pharos fails: {last.failing}.", "See the other checks.")
    return ok(f"It was pinged {max(ago, 0):,.0f} s ago.")
