"""Alembic's entry: its own version table inside the schema, so a shop's database stays clean."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from cascade.storage.tables import SCHEMA, metadata


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "schema" or name == SCHEMA


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=_ours,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])
