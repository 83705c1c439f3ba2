"""YAML that others wrote, and ours. It is read from nodes and not from values: nothing blows up, and `owner: no` is a
text.

The parser is imported when it is needed: it takes memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import yaml

DEPTH_MAX: Final = 20
NULL: Final = "tag:yaml.org,2002:null"


class YamlError(ValueError):
    """What was expected, and what came; in which line (0: the whole)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line, self.message = line, message


def write(document: object) -> str:
    """Mappings keep their order."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def compose(text: str) -> Any:
    """The root node, without aliases and at most `DEPTH_MAX` levels deep; None for an empty text. Raises YamlError."""
    import yaml

    try:
        _refuse_bombs(text)
        return yaml.compose(text, Loader=_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", "") or str(error).partition("\n")[0]
        # The end of the file is told as the line after the last.
        line = min(mark.line, text.count("\n")) + 1 if mark else 0
        raise YamlError(line, f"expected YAML: {said}"[:300]) from None


def texts(node: Any) -> Any:
    """A node as mappings, lists and texts, as they are written, without names that have no value. Raises YamlError."""
    if node.id == "scalar":
        return node.value
    if node.id == "sequence":
        return [texts(each) for each in node.value if not is_null(each)]
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.id != "scalar":
            raise YamlError(line_of(key), "expected a name, not a list or a mapping")
        if key.value in found:
            raise YamlError(line_of(key), f"{key.value[:40]!r} is there twice")
        if not is_null(value):
            found[key.value] = texts(value)
    return found


def is_null(node: Any) -> bool:
    return bool(node.id == "scalar" and node.tag == NULL)


def line_of(node: Any) -> int:
    """Of a node or an event, from 1."""
    line: int = node.start_mark.line + 1
    return line


def _loader() -> type[yaml.SafeLoader]:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _refuse_bombs(text: str) -> None:
    """Aliases can make a small file a huge tree; depth can break whoever walks it."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlError(line_of(event), "expected no anchors and aliases (& and *): write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise YamlError(line_of(event), f"expected at most {DEPTH_MAX} levels")
