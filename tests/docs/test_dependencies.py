"""docs/adr/0009-dependencies.md says of each package why it is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)


def declared() -> set[str]:
    """The names in pyproject.toml, without versions, extras and markers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = [re.match(r"[\w.-]+", requirement) for requirement in wanted]
    return {name[0] for name in names if name}


def explained() -> dict[str, str]:
    """The rows of the decision's tables: package → why."""
    page = (ROOT / "docs" / "adr" / "0009-dependencies.md").read_text()
    return dict(re.findall(r"^\| `([\w.-]+)` \| (.+) \|$", page, re.MULTILINE))


def test_each_package_is_explained_and_no_other() -> None:
    assert len(declared()) > 10
    assert set(explained()) == declared()


def test_each_reason_is_a_sentence() -> None:
    assert [why for why in explained().values() if not why.endswith(".") or len(why) < 10] == []
