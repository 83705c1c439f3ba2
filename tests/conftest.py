"""Starts the servers of the run, and skips or fails what needs a part that isn't there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import redis
from django.conf import settings

from tests import servers

PARTS: dict[str, tuple[Callable[[], bool], str]] = {
    "postgres": (lambda: "postgres" in settings.DATABASES, servers.NO_POSTGRES),
    "docker": (servers.can_docker, servers.NO_DOCKER),
    "browser": (lambda: servers.browser() is not None, servers.NO_BROWSER),
    "rsyslog": (lambda: servers.program("rsyslogd") is not None, servers.missing("rsyslog")),
    "logrotate": (lambda: servers.program("logrotate") is not None, servers.missing("logrotate")),
    "prometheus": (lambda: servers.program("promtool") is not None, servers.missing("prometheus")),
    "alertmanager": (lambda: servers.program("prometheus-alertmanager") is not None, servers.NO_ALERTMANAGER),
    "node": (servers.node, servers.NO_NODE),
}


# Machines are noisy: how long an example takes is no property of the code.
hypothesis.settings.register_profile("noisy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("noisy")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgres: needs PostgreSQL (skipped with SKIP_POSTGRES=1)")
    config.addinivalue_line("markers", "docker: needs a Docker engine (skipped with SKIP_DOCKER=1)")
    config.addinivalue_line("markers", "browser: needs Chromium (skipped with SKIP_BROWSER=1)")
    config.addinivalue_line("markers", "rsyslog: needs rsyslogd (skipped with SKIP_RSYSLOG=1)")
    config.addinivalue_line("markers", "logrotate: needs logrotate (skipped with SKIP_LOGROTATE=1)")
    config.addinivalue_line("markers", "prometheus: needs promtool (skipped with SKIP_PROMETHEUS=1)")
    config.addinivalue_line("markers", "alertmanager: needs prometheus-alertmanager (skipped with SKIP_ALERTMANAGER=1)")
    config.addinivalue_line("markers", "node: needs Node.js and scripts/test-node (skipped with SKIP_NODE=1)")
    if config.getoption("help") or config.getoption("version") or config.getoption("collectonly"):
        return
    try:
        servers.start_all()
    except servers.ServerError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_unconfigure() -> None:
    servers.stop_all()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A long text is told by the name of its argument: processes must agree on names, and texts may hold new keys."""
    return argname if isinstance(val, str | bytes) and len(val) > 100 else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, (there, sentence) in PARTS.items():
        if item.get_closest_marker(name):
            if not servers.wanted(name):
                pytest.skip(f"SKIP_{name.upper()} is set")
            if not there():
                pytest.fail(sentence, pytrace=False)


@pytest.fixture
def redis_client() -> Iterator[redis.Redis]:
    """A client of this worker's database in the run's Valkey, which is empty at the start."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Each test begins without the rules that come with Pharos, and with an empty audit trail."""
    from auditlog.models import LogEntry

    from alerts.models import AlertRule

    with django_db_blocker.unblock():
        AlertRule.objects.all().delete()
        LogEntry.objects.all().delete()


@pytest.fixture(autouse=True, scope="session")
def _no_rules_thread() -> Iterator[None]:
    """No thread asks the database for rules: a test does so itself."""
    from logs import intake

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake.Rules, "_start", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _built_in_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with the built-in rules."""
    from logs import intake

    monkeypatch.setattr(intake, "rules", intake.Rules())


@pytest.fixture(autouse=True)
def _no_teams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins without services that are kept for teams, and knowing that."""
    from accounts import visibility

    monkeypatch.setattr(visibility, "_rows", (float("inf"), ()))
    monkeypatch.setattr(visibility, "_known", {})
