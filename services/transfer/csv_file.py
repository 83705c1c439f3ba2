"""Services as CSV, for spreadsheets: a row for each check; the columns of its service are repeated.

A cell that a spreadsheet would run as a formula has a ' before it, which is taken off when it is read.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from core.spreadsheets import plain, safe
from services import label_text
from services.transfer import entries
from services.transfer.entries import CheckEntry, Document, Problem, ServiceEntry

SERVICE: Final = ("service", *entries.SERVICE_FIELDS, "labels", "needs")
CHECK: Final = ("check", *entries.CHECK_FIELDS, "options", "secrets")
COLUMNS_MAX: Final = 100


def write() -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*SERVICE, *CHECK])
    for service, checks in entries.stored():
        begin = _cells(SERVICE, {**service, "service": service["name"]})
        for check in checks:
            writer.writerow([*begin, *_cells(CHECK, {**check, "check": check["name"]})])
        if not checks:
            writer.writerow([*begin, *([""] * len(CHECK))])
    return out.getvalue()


def _cells(columns: Sequence[str], values: dict[str, Any]) -> list[str]:
    return [_cell(column, values[column]) for column in columns]


def _cell(column: str, value: Any) -> str:
    if column == "labels":
        text = label_text.write(value)
    elif column in ("needs", "secrets"):
        text = _write_list(value)
    elif column == "options":
        text = json.dumps(value, ensure_ascii=False) if value else ""
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "" if value is None else str(value)
    return safe(text)


def _write_list(names: Sequence[str]) -> str:
    text = "; ".join(names)
    simple = not text.startswith("[") and _read_list(text) == list(names)
    return text if simple else json.dumps(names, ensure_ascii=False)


def _read_list(text: str) -> list[str]:
    """Raises ValueError."""
    if not text.startswith("["):
        return [name for part in text.split(";") if (name := part.strip())]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"expected names with semicolons between them, got {text[:40]!r}")
    return found


def _read_object(text: str) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        found = json.loads(text, parse_constant=_refuse) if text.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f'expected JSON like {{"method": "GET"}}, got {text[:60]!r}')
    return found


def _refuse(constant: str) -> None:
    raise ValueError(constant)


# --- Reading -------------------------------------------------------------------------------------------------------


def read(text: str) -> Document:
    begin = text[:2_000].partition("\n")[0]
    rows = csv.reader(
        io.StringIO(text, newline=""), strict=True, delimiter=";" if ";" in begin and "," not in begin else ","
    )
    table = _Table()
    line = 1
    try:
        for cells in rows:
            if any(cells):
                table.row(line, [plain(cell) for cell in cells])
            line = rows.line_num + 1
    except csv.Error as error:
        table.problems.append(Problem(line, f"expected CSV: {error}"))
    if not table.columns and not table.problems:
        table.problems.append(Problem(0, "the file is empty"))
    return Document([*table.services.values()], table.problems)


class _Table:
    """Rows -> services, in their order."""

    def __init__(self) -> None:
        self.columns: list[str] = []
        self.services: dict[str, ServiceEntry] = {}
        self.problems: list[Problem] = []

    def row(self, line: int, cells: list[str]) -> None:
        try:
            if not self.columns:
                self._header(cells)
            elif len(cells) > len(self.columns):
                raise ValueError(f"expected {len(self.columns)} cells as in the first row, got {len(cells)}")
            else:
                self._entry(line, dict(zip(self.columns, cells, strict=False)))
        except ValueError as error:
            self.problems.append(Problem(line, str(error)))

    def _header(self, cells: list[str]) -> None:
        names = [cell.strip().lower() for cell in cells[:COLUMNS_MAX]]
        self.columns = names
        unknown = [name for name in names if name not in (*SERVICE, *CHECK)]
        if "service" not in names or unknown or len(set(names)) < len(names):
            got = f"got {unknown[0][:40]!r}" if unknown else "each once, and one of them service"
            raise ValueError(f"expected a first row with some of {', '.join([*SERVICE, *CHECK])}; {got}")

    def _entry(self, line: int, cells: dict[str, str]) -> None:
        if "service" not in cells:
            return  # the first row was wrong, and said so
        name = _part("service", cells["service"], entries.name)
        values = _values(cells, entries.SERVICE_FIELDS)
        if "labels" in cells:
            values["labels"] = _part("labels", cells["labels"], label_text.read)
        needs = _part("needs", cells["needs"], _read_list) if "needs" in cells else None
        known = self.services.setdefault(name, ServiceEntry(line, name, values, needs, []))
        if (known.values, known.needs) != (values, needs):
            raise ValueError(f"expected the same about {name!r} as in line {known.line}")
        if cells.get("check"):
            known.checks.append(_check(line, cells))
        elif any(cells.get(column) for column in CHECK):
            raise ValueError("expected the name of the check in the column check")


def _check(line: int, cells: dict[str, str]) -> CheckEntry:
    values = _values(cells, entries.CHECK_FIELDS)
    if "options" in cells:
        values["options"] = _part("options", cells["options"], _read_object)
    named = _part("secrets", cells.get("secrets", ""), _read_list)
    return CheckEntry(line, _part("check", cells["check"], entries.name), values, named=tuple(named))


def _values(cells: dict[str, str], fields: Any) -> dict[str, Any]:
    """An empty cell is an empty text; of a number it says nothing."""
    found = {}
    for field, read in fields.items():
        if cells.get(field):
            found[field] = _part(field, cells[field], read)
        elif field in cells and field in entries.MAY_BE_EMPTY:
            found[field] = entries.MAY_BE_EMPTY[field]
    return found


def _part(column: str, cell: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(cell)
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None
