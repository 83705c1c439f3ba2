"""Services as YAML. Read from nodes and not from values: so each has its line, and `owner: no` is a name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from core import yaml_text
from core.yaml_text import YamlError, is_null, line_of
from services.transfer import entries
from services.transfer.entries import CheckEntry, Document, Problem, ServiceEntry


class Wrong(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, node: Any, message: str) -> None:
        self.problem = Problem(line_of(node), message)


def write() -> str:
    found = [{**service, "checks": [_shown(check) for check in checks]} for service, checks in entries.stored()]
    return yaml_text.write({"version": entries.VERSION, "services": found})


def _shown(check: dict[str, Any]) -> dict[str, Any]:
    return check if check["secrets"] else {name: value for name, value in check.items() if name != "secrets"}


def read(text: str) -> Document:
    try:
        root = yaml_text.compose(text)
        if root is None:
            return Document([], [Problem(0, "the file is empty")])
        return _Reader().document(root)
    except YamlError as error:
        return Document([], [Problem(error.line, error.message)])
    except Wrong as error:
        return Document([], [error.problem])


class _Reader:
    """Notes what is wrong and goes on, so that one look shows all."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def document(self, root: Any) -> Document:
        pairs = self.pairs(root, "a mapping with services", {"version", "services"})
        if "version" in pairs and pairs["version"].value != str(entries.VERSION):
            raise Wrong(pairs["version"], f"expected version {entries.VERSION}")
        if "services" not in pairs:
            raise Wrong(root, "expected services: and a list")
        found = [each for node in self.items(pairs["services"], "services") for each in self.each(self.service, node)]
        return Document(found, self.problems)

    def each(self, read: Callable[[Any], Any], node: Any) -> Iterator[Any]:
        try:
            yield read(node)
        except Wrong as error:
            self.problems.append(error.problem)

    def service(self, node: Any) -> ServiceEntry:
        pairs = self.pairs(node, "a service", {"name", "labels", "needs", "checks", *entries.SERVICE_FIELDS})
        values = self.values(pairs, entries.SERVICE_FIELDS)
        if "labels" in pairs:
            values["labels"] = {name: self.text(value) for name, value in self.mapping(pairs["labels"], "labels")}
        needs = None
        if "needs" in pairs:
            needs = [self.scalar(each, entries.name) for each in self.items(pairs["needs"], "needs")]
        given = self.items(pairs["checks"], "checks") if "checks" in pairs else []
        checks = [each for one in given for each in self.each(self.check, one)]
        return ServiceEntry(line_of(node), self.name(node, pairs), values, needs, checks)

    def check(self, node: Any) -> CheckEntry:
        pairs = self.pairs(node, "a check", {"name", "options", "secrets", *entries.CHECK_FIELDS})
        values = self.values(pairs, entries.CHECK_FIELDS)
        if "options" in pairs:
            values["options"] = {name: self.json(value) for name, value in self.mapping(pairs["options"], "options")}
        secrets: dict[str, Any] = {}
        named: list[str] = []
        if "secrets" in pairs:
            if hasattr(pairs["secrets"].value, "append") and pairs["secrets"].id == "sequence":
                named = [self.scalar(each, entries.name) for each in self.items(pairs["secrets"], "secrets")]
            else:
                secrets = {name: self.json(value) for name, value in self.mapping(pairs["secrets"], "secrets")}
        return CheckEntry(line_of(node), self.name(node, pairs), values, secrets, tuple(named))

    def name(self, node: Any, pairs: dict[str, Any]) -> str:
        if "name" not in pairs:
            raise Wrong(node, "expected a name")
        found: str = self.scalar(pairs["name"], entries.name)
        return found

    def values(self, pairs: dict[str, Any], fields: Any) -> dict[str, Any]:
        found = {}
        for field, read in fields.items():
            if field not in pairs:
                continue
            node = pairs[field]
            if is_null(node) and field in entries.MAY_BE_EMPTY:
                found[field] = entries.MAY_BE_EMPTY[field]
            else:
                found[field] = self.scalar(node, read, field)
        return found

    # --- Nodes ---

    def pairs(self, node: Any, what: str, known: set[str]) -> dict[str, Any]:
        found = dict(self.mapping(node, what))
        for name in found:
            if name not in known:
                raise Wrong(found[name], f"expected one of {', '.join(sorted(known))}, got {name[:40]!r}")
        return found

    def mapping(self, node: Any, what: str) -> Iterator[tuple[str, Any]]:
        if is_null(node):
            return
        if node.id != "mapping":
            raise Wrong(node, f"expected {what} as name: value")
        seen = set()
        for key, value in node.value:
            name = self.text(key)
            if name in seen:
                raise Wrong(key, f"{name[:40]!r} is there twice")
            seen.add(name)
            yield name, value

    def items(self, node: Any, what: str) -> list[Any]:
        if is_null(node):
            return []
        if node.id != "sequence":
            raise Wrong(node, f"expected {what} as a list")
        found: list[Any] = node.value
        return found

    def text(self, node: Any) -> str:
        found: str = self.scalar(node, entries.text)
        return found

    def scalar(self, node: Any, read: Callable[[str], Any], what: str = "") -> Any:
        if node.id != "scalar":
            raise Wrong(node, f"expected one value{f' for {what}' if what else ''}, not a list or a mapping")
        try:
            return read(node.value)
        except ValueError as error:
            raise Wrong(node, f"{what}: {error}" if what else str(error)) from None

    def json(self, node: Any) -> Any:
        """As JSON has it: YAML's dates are texts."""
        from yaml.constructor import ConstructorError, SafeConstructor

        if node.id == "mapping":
            return {name: self.json(value) for name, value in self.mapping(node, "a mapping")}
        if node.id == "sequence":
            return [self.json(each) for each in node.value]
        kind = node.tag.rpartition(":")[2]
        if kind in ("str", "timestamp"):
            return self.text(node)
        if kind not in ("null", "bool", "int", "float"):
            raise Wrong(node, f"expected a text, a number, true, false or null, got {node.tag[:60]}")
        try:
            value = SafeConstructor().construct_object(node)
        except (ValueError, ConstructorError):
            raise Wrong(node, f"expected {kind}, got {node.value[:40]!r}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise Wrong(node, "expected a finite number")
        return value
