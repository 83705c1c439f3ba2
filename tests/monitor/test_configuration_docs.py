"""Every variable that the settings read is in docs/configuration.md and in .env.example, with its default."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)


@dataclass(frozen=True)
class Variable:
    name: str
    aliases: tuple[str, ...]
    default: str | None  # None: the settings work it out


def variables() -> list[Variable]:
    """The calls of monitor.env's readers in the settings."""
    tree = ast.parse((ROOT / "monitor" / "settings.py").read_text())
    return [variable for node in ast.walk(tree) if isinstance(node, ast.Call) for variable in read_by(node)]


def read_by(call: ast.Call) -> list[Variable]:
    match call.func:
        case ast.Attribute(value=ast.Name(id="env")):
            names = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        case _:
            return []
    return [Variable(names[0], tuple(names[1:]), default_of(call))] if names else []


# What other defaults depend on, where nothing is set.
UNSET: dict[str, object] = {"HTTPS": False, "SECURE_COOKIES": False}


def default_of(call: ast.Call) -> str | None:
    for keyword in call.keywords:
        if keyword.arg == "default":
            # Sums such as 32 << 20 are constants, too.
            code = compile(ast.Expression(keyword.value), "default", "eval")
            return str(eval(code, {"__builtins__": {}, **UNSET}))
    return None


VARIABLES = variables()
BY_NAME = pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)


def test_the_settings_are_understood() -> None:
    found = {variable.name: variable for variable in VARIABLES}

    assert {"PHAROS_DATA_DIR", "PHAROS_PORT", "PHAROS_SECRET_KEY", "DATABASE_URL", "REDIS_URL"} <= set(found)
    assert found["REDIS_URL"].aliases == ("Logging__RedisConnection",)
    assert found["PHAROS_PORT"].default == "8000"


@BY_NAME
def test_it_is_in_the_table(variable: Variable) -> None:
    rows = re.findall(rf"^\| `{variable.name}` \|(.*)\|(.*)\|(.+)\|$", docs(), re.MULTILINE)

    assert len(rows) == 1, f"docs/configuration.md has no row for {variable.name}"
    alias, default, _ = rows[0]
    assert all(f"`{each}`" in alias for each in variable.aliases)
    if variable.default:
        assert f"`{variable.default}`" in default


@BY_NAME
def test_it_is_in_the_example(variable: Variable) -> None:
    lines = re.findall(rf"^#{variable.name}=(.*)$", example(), re.MULTILINE)

    assert len(lines) == 1, f".env.example has no line for {variable.name}"
    if variable.default is not None:
        assert lines[0] == variable.default


def test_nothing_is_described_that_is_not_read() -> None:
    read = {variable.name for variable in VARIABLES}

    assert set(re.findall(r"^\| `(\w+)` \|", docs(), re.MULTILINE)) == read
    assert set(re.findall(r"^#(\w+)=", example(), re.MULTILINE)) == read


def docs() -> str:
    return (ROOT / "docs" / "configuration.md").read_text()


def example() -> str:
    return (ROOT / ".env.example").read_text()
