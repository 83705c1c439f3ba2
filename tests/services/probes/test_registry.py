"""A kind of check is a module, a line in the registry, a section of the docs and a test file: see CONTRIBUTING."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from django.conf import settings

from services import probes

ROOT = Path(settings.BASE_DIR)
# What probes share; no kinds of their own.
SHARED = {"__init__", "base", "health_body", "hiding", "sockets", "web"}
KINDS = pytest.mark.parametrize("kind", probes.PROBES)


def sections() -> dict[str, str]:
    """Kind → its section."""
    page = (ROOT / "docs" / "checks.md").read_text()
    return dict(re.findall(r"^## `(\w+)`.*?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))


@KINDS
def test_it_has_a_module_that_is_a_probe(kind: str) -> None:
    module = probes.probe(kind)

    assert probes.PROBES[kind] == module.LABEL
    assert module.TARGET
    assert issubclass(module.Options, msgspec.Struct)
    assert issubclass(module.Secrets, msgspec.Struct)
    assert callable(module.run)


@KINDS
def test_it_has_a_test_file(kind: str) -> None:
    assert (ROOT / "tests" / "services" / "probes" / f"test_{kind}.py").exists()


@KINDS
def test_each_of_its_options_and_secrets_is_in_the_docs(kind: str) -> None:
    section, module = sections()[kind], probes.probe(kind)
    shared = sections()["http"] if "`http`" in section else ""
    for field in (*msgspec.structs.fields(module.Options), *msgspec.structs.fields(module.Secrets)):
        assert f"`{field.encode_name}`" in section + shared, f"docs/checks.md, `{kind}`: no {field.encode_name}"


@KINDS
def test_the_examples_of_the_docs_can_be_saved(kind: str) -> None:
    examples = re.findall(r"```json\n(.*?)```", sections()[kind], re.DOTALL)
    assert examples
    for example in examples:
        probes.validate(**{"options": {}, "secrets": {}, **json.loads(example), "kind": kind})


def test_nothing_is_there_without_a_line_in_the_registry() -> None:
    modules = {path.stem for path in (ROOT / "services" / "probes").glob("*.py")}

    assert modules - SHARED == set(probes.PROBES)
    assert set(sections()) == set(probes.PROBES)


def test_contributing_says_how() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    for place in ("services/probes/", "PROBES", "docs/checks.md", "tests/services/probes/"):
        assert place in page


HEAVY = ("aiohttp", "cryptography.x509", "dns", "jmespath")


def test_what_is_heavy_is_loaded_by_who_needs_it() -> None:
    """The processes of Pharos that check nothing don't pay for what checks need."""
    code = "import sys, django; django.setup(); import services.models; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert [name for name in HEAVY if name in loaded] == []
