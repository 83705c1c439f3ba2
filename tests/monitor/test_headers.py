"""What answers tell browsers, and that an installation as the documentation has it passes Django's own checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from core.headers import content_policy

DOCS = Path(settings.BASE_DIR, "docs", "security.md")


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/login/", "/api/logs", "/nowhere"])
def test_every_answer_has_them(client: Client, address: str) -> None:
    answer = client.get(address)
    policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["style-src-elem"] == "'self'"
    for directive in ("default-src", "object-src", "base-uri", "frame-ancestors"):
        assert policy[directive] == "'none'"
    assert policy["form-action"] == "'self'"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_a_form_may_lead_to_the_single_sign_on_that_is_configured() -> None:
    policy = content_policy(https=True, posted_to="https://login.example.org/realms/shop")["DIRECTIVES"]
    assert policy["form-action"] == ["'self'", "https://login.example.org"]
    assert policy["upgrade-insecure-requests"]


def test_the_documented_settings_pass_the_check_of_deployments(tmp_path: Path) -> None:
    [block] = re.findall(r"```sh\n(PHAROS_URL=.+?)```", DOCS.read_text(), re.DOTALL)
    documented = dict(re.findall(r"^(\w+)=(\S+)", block, re.MULTILINE))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHAROS_")}
    environment |= documented | {"PHAROS_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "monitor.settings"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        capture_output=True, text=True, timeout=60, cwd=settings.BASE_DIR, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
