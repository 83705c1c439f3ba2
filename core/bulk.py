"""Many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.db import connections, models, router


def update(rows: Sequence[models.Model], fields: Sequence[str]) -> None:
    """Writes these fields of the rows, which are of one model. Inside the caller's transaction.

    What `bulk_update` does, in a fraction of its time: one statement for each row, prepared once, instead of an
    expression with as many cases as there are rows.
    """
    if not rows:
        return
    meta = rows[0]._meta
    connection = connections[router.db_for_write(type(rows[0]))]
    columns = [cast("models.Field[Any, Any]", meta.get_field(name)) for name in fields]

    def quoted(field: models.Field[Any, Any] | None) -> str:
        assert field
        return str(connection.ops.quote_name(str(field.column)))

    sets = ", ".join(f"{quoted(field)} = %s" for field in columns)
    table = connection.ops.quote_name(meta.db_table)
    statement = f"UPDATE {table} SET {sets} WHERE {quoted(meta.pk)} = %s"  # noqa: S608 - names of our own models
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                [*(field.get_db_prep_save(getattr(row, field.attname), connection) for field in columns), row.pk]
                for row in rows
            ],
        )
