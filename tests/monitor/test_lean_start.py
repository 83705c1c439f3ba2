"""Processes without pages load none: it is a tenth of their memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.conf import settings
from django.core import checks

LEAN = """
import sys
import django
django.setup()
from django.core import checks
assert not checks.run_checks(tags=["pharos"])
from {module} import *
print([name for name in sys.modules if name in ("monitor.urls", "logs.admin", "services.admin", "lxml.etree")])
"""


@pytest.mark.parametrize(
    "module",
    [
        "logs.management.commands.ingest",
        "logs.management.commands.listen",
        "logs.tasks",
        "services.tasks",
        "alerts.models",
    ],
)
def test_what_has_no_pages_loads_no_screens(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAN.format(module=module)],
        capture_output=True, text=True, timeout=60, cwd=settings.BASE_DIR, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_their_checks_are_among_all_others() -> None:
    ours = checks.registry.registry.get_checks()
    assert [getattr(check, "__name__", "") for check in ours if "pharos" in getattr(check, "tags", ())] == [
        "log_settings"
    ]


def test_the_screens_have_nothing_to_complain_about() -> None:
    import monitor.urls  # noqa: F401 - it looks for the screens

    assert not checks.run_checks(tags=[checks.Tags.admin])
