"""Sealed rows in pages: those that another key sealed are read, and written under the first one.

A sealed value never changes otherwise, so it is read without a lock; rows are locked in id order
for the moment of the write, and rows that somebody holds are left for the next round.
"""

from __future__ import annotations

import uuid

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from cascade.storage.rows import as_rows


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with sealed columns. `before` is smaller than every id."""

    name: str
    id_type: str
    columns: tuple[str, ...]
    account: str  # an expression: what the context needs besides the id
    before: uuid.UUID | int


@dataclass(frozen=True, slots=True)
class SealedRow:
    """The sealed values of a row, in the order of the table's columns."""

    id: uuid.UUID | int
    account: str | None
    values: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """`last` is the id to go on after, None at the end; `stale` are the rows of other keys."""

    last: uuid.UUID | int | None
    looked: int
    stale: list[SealedRow]


MESSAGES = SealedTable("messages", "uuid", ("recipient", "content"), "NULL", uuid.UUID(int=0))
RECEIPTS = SealedTable("receipts", "bigint", ("raw",), "account", 0)
TABLES = (MESSAGES, RECEIPTS)

_SHOWN = 40  # bytes of a key's id

_ROWS = text("""
    SELECT coalesce(sum(greatest(reltuples, 0)), 0) FROM pg_class
    WHERE oid IN (CAST('cascade.messages' AS regclass), CAST('cascade.receipts' AS regclass))
""")


def prefix_of(key_id: str) -> bytes:
    """How every value begins that this key sealed."""
    name = key_id.encode()
    return bytes([len(name)]) + name


def key_id_of(sealed: bytes) -> str:
    """The id of the key that sealed the value, fit to be shown: an altered value may name any."""
    return ascii(sealed[1 : 1 + int.from_bytes(sealed[:1])][:_SHOWN].decode(errors="replace"))[
        1:-1
    ]


def page_after(
    connection: Connection,
    table: SealedTable,
    after: uuid.UUID | int,
    *,
    prefix: bytes,
    size: int,
) -> Page:
    """The next `size` rows by id; those with a value that does not begin with `prefix` are stale."""
    other = " OR ".join(f"substr({one}, 1, :length) <> :prefix" for one in table.columns)
    shown = ", ".join(f"CASE WHEN {other} THEN {one} END" for one in table.columns)
    statement = f"""
        SELECT id, {table.account}, {shown} FROM cascade.{table.name}
        WHERE id > CAST(:after AS {table.id_type}) ORDER BY id LIMIT :size
    """  # noqa: S608  # constants
    values = {"after": str(after), "prefix": prefix, "length": len(prefix), "size": size}
    rows = connection.execute(text(statement), values).all()
    stale = [
        SealedRow(one, account, tuple(bytes(value) for value in sealed))
        for one, account, *sealed in rows
        if sealed[0] is not None
    ]
    return Page(rows[-1][0] if rows else None, len(rows), stale)


def write(connection: Connection, table: SealedTable, rows: Sequence[SealedRow]) -> int:
    """Writes the values of the rows that nobody holds; returns how many those were."""
    typed = ", ".join(f"{one} bytea" for one in table.columns)
    statement = f"""
        WITH held AS (
            SELECT new.* FROM json_to_recordset(CAST(:rows AS json))
                AS new(id {table.id_type}, {typed})
            JOIN cascade.{table.name} old ON old.id = new.id
            ORDER BY old.id FOR NO KEY UPDATE OF old SKIP LOCKED
        )
        UPDATE cascade.{table.name} old
        SET {", ".join(f"{one} = held.{one}" for one in table.columns)}
        FROM held WHERE old.id = held.id
    """  # noqa: S608  # constants
    values = [{"id": row.id} | dict(zip(table.columns, row.values, strict=True)) for row in rows]
    return connection.execute(text(statement), {"rows": as_rows(values)}).rowcount


def estimated_rows(connection: Connection) -> int:
    """About how many messages and receipts there are, as the statistics have it."""
    return int(connection.execute(_ROWS).scalar_one())
