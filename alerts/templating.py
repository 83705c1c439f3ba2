"""Templates as Prometheus and Alertmanager write them: `{{ $labels.service }} is down`. Pure.

There are values by path, pipes of functions, `if`, `range` and `with`, comments, and `{{-` that takes spaces away. What
a template can reach is what it is given, and nothing else. https://pkg.go.dev/text/template is the model;
docs/alert-rules.md says what there is of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from alerts.template_functions import FUNCTIONS

TEXT_MAX: Final = 20_000  # characters of a template
OUTPUT_MAX: Final = 100_000  # and of what comes out
STEPS_MAX: Final = 20_000  # actions that are carried out, so that a range in a range comes to an end
DEPTH_MAX: Final = 10  # blocks in blocks, parentheses in parentheses

Given = Mapping[str, Any]


class TemplateError(ValueError):
    """What was expected, what came, and where."""


def render(text: str, given: Given) -> str:
    """`given` are the values by name: `$value` and `.value` are given["value"], `$labels.service` is
    given["labels"]["service"]. What isn't there is "". Raises TemplateError."""
    return _Run(given).text(parse(text))


@lru_cache(maxsize=1_024)
def parse(text: str) -> Sequence[Part]:
    """Raises TemplateError."""
    if len(text) > TEXT_MAX:
        raise TemplateError(f"expected a template of at most {TEXT_MAX:,} characters, got {len(text):,}")
    return _Parser(text).template()


# --- The tree --------------------------------------------------------------------------------------------------------


class Literal(msgspec.Struct, frozen=True):
    value: Any


class Path(msgspec.Struct, frozen=True):
    """`.a.b` from the dot (variable ""), `$x.a.b` from a variable; `$` alone is what the template was given."""

    variable: str
    names: tuple[str, ...]


class Call(msgspec.Struct, frozen=True):
    name: str
    arguments: tuple[Expression, ...]


class Print(msgspec.Struct, frozen=True):
    value: Expression


class Assign(msgspec.Struct, frozen=True):
    name: str
    value: Expression


class Block(msgspec.Struct, frozen=True):
    """if, with or range. `names` are the variables of a range: the value, or the index and the value."""

    word: str
    value: Expression
    body: Sequence[Part]
    otherwise: Sequence[Part]
    names: tuple[str, ...] = ()


Expression = Literal | Path | Call
Part = str | Print | Assign | Block

# --- Reading ---------------------------------------------------------------------------------------------------------

# Not "*+", which would do as well: Python 3.11 up to 3.11.4 takes nothing then, where there is a lookahead in it.
_ACTION: Final = re.compile(
    r"\{\{(-\s)?\s*(/\*.*?\*/|(?:\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|(?!-?\}\}|\{\{)[^\"`])*)(-?)\}\}", re.DOTALL
)
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`)|(?P<number>[-+]?\d+(?:\.\d+)?)(?![\w.])"
    r"|(?P<path>\$\w*(?:\.\w+)*|(?:\.\w+)+|\.)|(?P<word>\w+)|(?P<sign>:=|[|(),]))"
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}

Token = tuple[str, str]  # its kind and its text


class _Parser:
    def __init__(self, text: str) -> None:
        self._pieces = _pieces(text)

    def template(self) -> Sequence[Part]:
        parts, end = self._until_end(0)
        if end is not None:
            raise TemplateError(f"expected {{{{ {end[0]} }}}} after an if, a range or a with")
        return parts

    def _until_end(self, depth: int) -> tuple[Sequence[Part], list[str] | None]:
        """The parts up to `end` or `else`, and what was said there; None at the end of the text."""
        if depth > DEPTH_MAX:
            raise TemplateError(f"expected at most {DEPTH_MAX} blocks in each other")
        parts: list[Part] = []
        for literal, action in self._pieces:
            if literal:
                parts.append(literal)
            if action is None:
                continue
            word = action.split(None, 1)[0] if action else ""
            if word in ("end", "else"):
                return parts, action.split(None, 1)
            if word in ("if", "with", "range"):
                parts.append(self._block(word, action[len(word) :], depth))
            else:
                parts.append(_Action(action).statement())
        return parts, None

    def _block(self, word: str, said: str, depth: int) -> Block:
        action = _Action(said)
        names = action.names() if word == "range" else ()
        value = action.all()
        body, end = self._until_end(depth + 1)
        otherwise: Sequence[Part] = ()
        if end and end[0] == "else":
            if len(end) > 1:
                again = end[1].split(None, 1)
                if again[0] != "if" or len(again) < 2:
                    raise TemplateError(f"expected else or else if, got {{{{ {' '.join(end)[:40]} }}}}")
                return Block(word, value, body, [self._block("if", again[1], depth + 1)], names)
            otherwise, end = self._until_end(depth + 1)
        if end is None or end[0] != "end":
            raise TemplateError(f"expected {{{{ end }}}} after {{{{ {word} … }}}}")
        return Block(word, value, body, otherwise, names)


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Literal text, and what is said in the action after it."""
    position, trim = 0, False
    while (begin := text.find("{{", position)) >= 0:
        found = _ACTION.match(text, begin)
        if not found:
            raise TemplateError(f"expected }}}} after {text[begin:][:60]!r}")
        literal = text[position:begin]
        literal = literal.lstrip() if trim else literal
        said = found[2].strip()
        yield literal.rstrip() if found[1] else literal, None if said.startswith("/*") else said
        position, trim = found.end(), bool(found[3])
    yield text[position:].lstrip() if trim else text[position:], None


class _Action:
    """What stands between {{ and }}."""

    def __init__(self, said: str) -> None:
        self._said = said.strip()
        self._tokens = _tokens(said)
        self._place = 0

    def statement(self) -> Print | Assign:
        if len(self._tokens) > 2 and self._tokens[1] == ("sign", ":="):
            [name] = self.names()
            return Assign(name, self.all())
        return Print(self.all())

    def names(self) -> tuple[str, ...]:
        """`$x :=` or `$i, $x :=`, if there is one."""
        if ("sign", ":=") not in self._tokens:
            return ()
        end = self._tokens.index(("sign", ":="))
        before = [text for _, text in self._tokens[:end] if text != ","]
        if not 1 <= len(before) <= 2 or not all(re.fullmatch(r"\$\w+", name) for name in before):
            raise self._error("a variable like $x before :=")
        self._place = end + 1
        return tuple(name[1:] for name in before)

    def all(self) -> Expression:
        value = self._pipe(0)
        if self._place < len(self._tokens):
            raise self._error("}}")
        return value

    def _pipe(self, depth: int) -> Expression:
        if depth > DEPTH_MAX:
            raise self._error(f"at most {DEPTH_MAX} parentheses in each other")
        value = self._command(depth, ())
        while self._next() == ("sign", "|"):
            self._place += 1
            value = self._command(depth, (value,))
        return value

    def _command(self, depth: int, last: tuple[Expression, ...]) -> Expression:
        """A value, or a function with its arguments; what comes through the pipe is the last one."""
        kind, text = self._next() or ("", "")
        if kind == "word" and text not in ("true", "false", "nil"):
            if text not in FUNCTIONS:
                raise TemplateError(f"there is no function {text[:40]}; there is {', '.join(sorted(FUNCTIONS))}")
            self._place += 1
            arguments: list[Expression] = []
            while (token := self._next()) and token not in (("sign", "|"), ("sign", ")")):
                arguments.append(self._operand(depth))
            return Call(text, (*arguments, *last))
        if last:
            raise self._error("a function after |")
        return self._operand(depth)

    def _operand(self, depth: int) -> Expression:
        token = self._next()
        if token is None:
            raise self._error("a value")
        kind, text = token
        self._place += 1
        match kind:
            case "string":
                return Literal(_unquoted(text))
            case "number":
                return Literal(float(text) if "." in text else int(text))
            case "path":
                variable, *names = text.split(".")
                return Path(variable, tuple(name for name in names if name))
            case "word" if text in ("true", "false", "nil"):
                return Literal({"true": True, "false": False, "nil": None}[text])
            case "sign" if text == "(":
                value = self._pipe(depth + 1)
                if self._next() != ("sign", ")"):
                    raise self._error("a closing )")
                self._place += 1
                return value
        raise self._error(f"a value instead of {text!r}")

    def _next(self) -> Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _error(self, expected: str) -> TemplateError:
        return TemplateError(f"expected {expected} in {{{{ {self._said[:60]} }}}}")


def _tokens(said: str) -> list[Token]:
    tokens: list[Token] = []
    said, position = said.rstrip(), 0
    while position < len(said):
        found = _TOKEN.match(said, position)
        if not found or not found.lastgroup:
            raise TemplateError(
                f"expected a value or a function in {{{{ {said.strip()[:60]} }}}}, got {said[position:][:20]!r}"
            )
        tokens.append((found.lastgroup, found[found.lastgroup]))
        position = found.end()
    return tokens


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1])


# --- Carrying out ----------------------------------------------------------------------------------------------------


class _Run:
    def __init__(self, given: Given) -> None:
        self._given = given
        self._variables: dict[str, Any] = {"$": given}
        self._steps = self._length = 0

    def text(self, parts: Sequence[Part]) -> str:
        return "".join(self._parts(parts, self._given))

    def _parts(self, parts: Sequence[Part], dot: Any) -> Iterator[str]:
        for part in parts:
            self._steps += 1
            if self._steps > STEPS_MAX:
                raise TemplateError(f"expected an end within {STEPS_MAX:,} steps: fewer ranges in ranges")
            match part:
                case str():
                    yield self._counted(part)
                case Print(value):
                    yield self._counted(shown(self._value(value, dot)))
                case Assign(name, value):
                    self._variables[f"${name}"] = self._value(value, dot)
                case Block():
                    yield from self._block(part, dot)

    def _counted(self, text: str) -> str:
        self._length += len(text)
        if self._length > OUTPUT_MAX:
            raise TemplateError(f"expected at most {OUTPUT_MAX:,} characters to come out")
        return text

    def _block(self, block: Block, dot: Any) -> Iterator[str]:
        value = self._value(block.value, dot)
        if not value:
            yield from self._parts(block.otherwise, dot)
        elif block.word == "range":
            for index, item in _items(value):
                self._variables |= dict(zip((f"${name}" for name in block.names[::-1]), (item, index), strict=False))
                yield from self._parts(block.body, item)
        else:
            yield from self._parts(block.body, value if block.word == "with" else dot)

    def _value(self, expression: Expression, dot: Any) -> Any:
        match expression:
            case Literal(value):
                return value
            case Path(variable, names):
                if not variable or variable in self._variables:
                    value = self._variables[variable] if variable else dot
                else:
                    value = _at(self._given, variable[1:])
                for name in names:
                    value = _at(value, name)
                return value
            case Call(name, arguments):
                values = [self._value(each, dot) for each in arguments]
                return _called(name, FUNCTIONS[name], values)


def _called(name: str, function: Callable[..., Any], values: Sequence[Any]) -> Any:
    try:
        return function(*values)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, ZeroDivisionError) as error:
        raise TemplateError(f"{name} can't be applied to {', '.join(map(repr, values))[:80]}: {error}") from None


def _at(value: Any, name: str) -> Any:
    """Of names as Go has them, too: CommonLabels is common_labels."""
    if not isinstance(value, Mapping):
        return ""
    return value[name] if name in value else value.get(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(), "")


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return iter(sorted(value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return enumerate(value)
    raise TemplateError(f"expected something with several items after range, got {shown(value)[:40]!r}")


def shown(value: Any) -> str:
    """As text: 3.0 is 3."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.15g}"
        case Mapping():
            return " ".join(f"{name}={shown(each)}" for name, each in sorted(value.items()))
        case list() | tuple():
            return " ".join(map(shown, value))
    return str(value)
