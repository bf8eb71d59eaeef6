"""Changes beside which services read and write on: outside a transaction, each safe to repeat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from sqlalchemy import TextClause, text

from cascade.storage.tables import SCHEMA


_IS_INVALID = text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
_SET_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :value, false)")


@contextmanager
def unhurried() -> Iterator[None]:
    """For statements that hold nobody up while they wait, and so may wait for any time."""
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        before = connection.execute(text("SHOW lock_timeout")).scalar_one()
        connection.execute(_SET_LOCK_TIMEOUT, {"value": "0"})
        try:
            yield
        finally:
            connection.execute(_SET_LOCK_TIMEOUT, {"value": before})


def build_index(name: str, table: str, columns: str, rows: TextClause | None) -> None:
    """Builds it where it is not there, or is what an interrupted build has left.

    `columns`: one, or several with commas between.
    """
    found = op.get_bind().execute(_IS_INVALID, {"name": f"{SCHEMA}.{name}"})
    if found.scalar_one_or_none():
        drop_index(name, table)
    op.create_index(
        name,
        table,
        columns.split(", "),
        schema=SCHEMA,
        if_not_exists=True,
        postgresql_concurrently=True,
        postgresql_where=rows,
    )


def drop_index(name: str, table: str) -> None:
    """Drops it where it is there."""
    op.drop_index(
        name, table_name=table, schema=SCHEMA, if_exists=True, postgresql_concurrently=True
    )
