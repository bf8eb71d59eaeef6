"""Rows by the hundred thousand: copies of one message."""

from __future__ import annotations

import uuid

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, Table, text

from cascade.storage.tables import attempts, charges, events, messages, receipts


_HASH = "md5(n || '-{}')"
_ID = "(lpad(to_hex(n + {base}), 12, '0') || '7000' || substr({hash}, 17))::uuid"
_CHANGED: Mapping[str, Mapping[str, str]] = {
    "messages": {"id": _ID},
    "attempts": {"id": "n + {base}", "message_id": _ID, "client_ref": "{hash}"},
    "receipts": {
        "id": "n + {base}",
        "attempt_id": "n + {base}",
        "client_ref": "{hash}",
        "dedupe_key": "decode({hash}, 'hex')",
    },
    "charges": {"attempt_id": "n + {base}"},
    "events": {"id": "n + {base}", "message_id": _ID},
}
_ATTEMPT = "attempt_id = (SELECT id FROM cascade.attempts WHERE message_id = :template)"
_OF = {
    "messages": "id = :template",
    "attempts": "message_id = :template",
    "receipts": _ATTEMPT,
    "charges": _ATTEMPT,
    "events": "message_id = :template",
}


def copy(engine: Engine, template: uuid.UUID, count: int, *, base: int) -> None:
    """`count` copies of the message `template` with its one attempt and all that belongs to it.

    Their ids start from `base`. Nobody can open their contents.
    """
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for table in (messages, attempts, receipts, charges, events):
            _copy(connection, table, template, count, base)


def _copy(
    connection: Connection, table: Table, template: uuid.UUID, count: int, base: int
) -> None:
    changes = _CHANGED[table.name]
    values = [
        changes.get(column.name, f"one.{column.name}").format(base=base, hash=_HASH.format(base))
        for column in table.columns
    ]
    names = ", ".join(column.name for column in table.columns)
    connection.execute(
        text(f"""
            INSERT INTO cascade.{table.name} ({names}) OVERRIDING SYSTEM VALUE
            SELECT {", ".join(values)}
            FROM (SELECT * FROM cascade.{table.name} WHERE {_OF[table.name]}) one,
                generate_series(1, {count}) n
        """),  # noqa: S608  # our own names
        {"template": template},
    )
