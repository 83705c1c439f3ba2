"""Each kind of condition is a file, and a line in the registry."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from django.conf import settings

from alerts import conditions
from alerts.condition_help import help_for

FOLDER = Path(settings.BASE_DIR) / "alerts" / "conditions"
DOCS = (Path(settings.BASE_DIR) / "docs" / "alert-rules.md").read_text()
KINDS = pytest.mark.parametrize("kind", conditions.CONDITIONS)


def test_each_file_is_a_kind_or_shared() -> None:
    shared = {"__init__", "base", "of_logs", "of_services", "of_containers"}
    assert {path.stem for path in FOLDER.glob("*.py")} == {*conditions.CONDITIONS} | shared


@KINDS
def test_a_kind_says_what_it_is(kind: str) -> None:
    module = conditions.condition(kind)
    assert conditions.CONDITIONS[kind] == module.LABEL
    assert module.HELP.endswith(".")
    assert bool(module.UNIT) >= module.MEASURES
    for field in msgspec.structs.fields(module.Config):
        assert help_for(kind, field.name, secret=False), field.name
    assert f"`{kind}`" in DOCS


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(
        conditions.ConditionError, match="there is no kind of condition 'log_cuont'; there is log_count"
    ):
        conditions.condition("log_cuont")
