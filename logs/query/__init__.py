"""The search language: text that a person types or pastes in, a small immutable tree out.

`parse` makes the tree. It has two executions: `matches`, a predicate on a `LogRecord`, and the scan of a log store.
docs/query-language.md is the same for people.

`reader` decides what is syntax, for most of what people paste is Lucene by accident; its rules are in its docstring.
`compiler` has luqum parse what is left and makes `nodes` of it, which know the predicate; `metadata` is how they look
into a record's metadata. `writer` makes the text of a query, for links.
"""

from logs.query.compiler import field_exists, parse
from logs.query.metadata import MISSING, fold_metadata, lookup
from logs.query.nodes import (
    ON_NUMBERS,
    ORDERINGS,
    And,
    Everything,
    Field,
    Level,
    Metadata,
    Node,
    Not,
    Operator,
    Or,
    Text,
    ValueForms,
    all_of,
    any_of,
    negate,
)
from logs.query.reader import DEPTH_MAX, LENGTH_MAX, TERMS_MAX, QueryError
from logs.query.writer import literal, term

__all__ = [
    "DEPTH_MAX",
    "LENGTH_MAX",
    "MISSING",
    "ON_NUMBERS",
    "ORDERINGS",
    "TERMS_MAX",
    "And",
    "Everything",
    "Field",
    "Level",
    "Metadata",
    "Node",
    "Not",
    "Operator",
    "Or",
    "QueryError",
    "Text",
    "ValueForms",
    "all_of",
    "any_of",
    "field_exists",
    "fold_metadata",
    "literal",
    "lookup",
    "negate",
    "parse",
    "term",
]
