"""Services as YAML. Read from nodes and not from values: so each has its line, and `owner: no` is a name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from services.transfer import entries
from services.transfer.entries import CheckEntry, Document, Problem, ServiceEntry

if TYPE_CHECKING:
    import yaml

DEPTH_MAX: Final = 20
NULL: Final = "tag:yaml.org,2002:null"


class Wrong(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, node: Any, message: str) -> None:
        self.problem = Problem(node.start_mark.line + 1, message)


def write() -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    found = [{**service, "checks": [_shown(check) for check in checks]} for service, checks in entries.stored()]
    document = {"version": entries.VERSION, "services": found}
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def _shown(check: dict[str, Any]) -> dict[str, Any]:
    return check if check["secrets"] else {name: value for name, value in check.items() if name != "secrets"}


def read(text: str) -> Document:
    import yaml

    try:
        _refuse_bombs(text)
        root = yaml.compose(text, Loader=_loader())
        if root is None:
            return Document([], [Problem(0, "the file is empty")])
        return _Reader().document(root)
    except Wrong as error:
        return Document([], [error.problem])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", "") or str(error).partition("\n")[0]
        # The end of the file is told as the line after the last.
        line = min(mark.line, text.count("\n")) + 1 if mark else 0
        return Document([], [Problem(line, f"expected YAML: {said}"[:300])])


def _loader() -> type[yaml.SafeLoader]:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _refuse_bombs(text: str) -> None:
    """Aliases can make a small file a huge tree; depth can break whoever walks it. Raises Wrong."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Wrong(event, "expected no anchors and aliases (& and *): write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise Wrong(event, f"expected at most {DEPTH_MAX} levels")


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
        return ServiceEntry(_line(node), self.name(node, pairs), values, needs, checks)

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
        return CheckEntry(_line(node), self.name(node, pairs), values, secrets, tuple(named))

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
            if node.id == "scalar" and node.tag == NULL and field in entries.MAY_BE_EMPTY:
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
        if node.id == "scalar" and node.tag == NULL:
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
        if node.id == "scalar" and node.tag == NULL:
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


def _line(node: Any) -> int:
    line: int = node.start_mark.line + 1
    return line
