"""docs/access.md says what each role has at first: its table is made from the permissions that there are."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission

from accounts import roles

PAGE = Path(settings.BASE_DIR) / "docs" / "access.md"
BETWEEN = re.compile(r"(<!-- roles: .* -->\n)(.*)(<!-- /roles -->)", re.DOTALL)


def table() -> str:
    """What no role but Administrator has is not listed."""
    found: dict[tuple[str, ...], list[Permission]] = defaultdict(list)
    for permission in Permission.objects.select_related("content_type").order_by("name"):
        found[tuple(name for name in roles.NAMES if roles.allows(name, roles.label(permission)))].append(permission)
    lines = ["| from this role on | can |", "|---|---|"]
    for name in roles.NAMES[:-1]:
        having = roles.NAMES[roles.NAMES.index(name) :]
        lines.append(f"| {name} | {_said(found.pop(having))} |")
    assert set(found) == {(roles.ADMINISTRATOR,)}
    return "\n".join([*lines, f"| {roles.ADMINISTRATOR} | everything that there is |"]) + "\n"


def _said(permissions: list[Permission]) -> str:
    """ "send a test message; add, change, delete: channel, route": what is done alike stands together."""
    single, actions = [], defaultdict(list)
    for permission in permissions:
        action, _, model = permission.codename.partition("_")
        if model == permission.content_type.model:
            actions[permission.name.split(" ", 2)[2]].append(action)
        else:
            single.append(permission.name.removeprefix("Can "))
    alike = defaultdict(list)
    for what, done in actions.items():
        alike[", ".join(sorted(done))].append(what)
    return "; ".join([*single, *(f"{done}: {', '.join(what)}" for done, what in sorted(alike.items()))])


@pytest.mark.django_db
def test_the_page_has_the_roles_as_they_are() -> None:
    text = PAGE.read_text()
    if "PHAROS_TEST_WRITE_ACCESS" in os.environ:
        text = BETWEEN.sub(lambda match: f"{match[1]}\n{table()}\n{match[3]}", text)
        PAGE.write_text(text)
    written = BETWEEN.search(text)
    assert written is not None
    assert written[2].strip() == table().strip(), "write it anew: make access"
