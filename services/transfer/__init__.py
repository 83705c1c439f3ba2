"""Services as a file, YAML or CSV: out of one installation, into another one or into version control.

Secrets never leave: a file names them, and who imports it enters them. docs/services.md describes the format.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from services.transfer import csv_file, yaml_file
from services.transfer.entries import FILE_MAX, Document, Problem
from services.transfer.plan import Plan, Refused, Row, carry_out, make_plan

__all__ = [
    "FILE_MAX", "FORMATS", "Document", "Plan", "Problem", "Refused", "Row", "carry_out", "format_of", "make_plan",
    "read", "write",
]  # fmt: skip


class Format(NamedTuple):
    read: Callable[[str], Document]
    write: Callable[[], str]


FORMATS: Final = {"yaml": Format(yaml_file.read, yaml_file.write), "csv": Format(csv_file.read, csv_file.write)}


def format_of(name: str, text: str) -> str:
    """By the name of the file, else by how it begins."""
    if name.lower().endswith(".csv"):
        return "csv"
    if name.lower().endswith((".yaml", ".yml", ".json")):
        return "yaml"
    first = text.lstrip("\ufeff \r\n").partition("\n")[0].lower()
    return "csv" if first.startswith(("service,", "service;", '"service"')) else "yaml"


def read(content: bytes, name: str = "") -> Document:
    """Never fails: what is wrong is among its problems."""
    if len(content) > FILE_MAX:
        return Document([], [Problem(0, f"expected at most {FILE_MAX:,} bytes, got {len(content):,}: divide the file")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Document([], [Problem(line, "expected text in UTF-8")])
    return FORMATS[format_of(name, text)].read(text)


def write(kind: str) -> str:
    """All services."""
    return FORMATS[kind].write()
