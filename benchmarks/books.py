"""The books of a run whose messages do not all end: what does not add up makes it void."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine, text

from benchmarks.sample import VoidError


_COUNTS = text("""
    SELECT
        (SELECT count(*) FROM cascade.messages) AS messages,
        (SELECT count(*) FROM cascade.messages WHERE ended_at IS NOT NULL) AS ended,
        (SELECT count(*) FROM cascade.attempts) AS attempts,
        (SELECT count(*) FROM cascade.attempts WHERE state = 'delivered') AS delivered,
        (SELECT count(*) FROM cascade.attempts WHERE state = 'expired') AS expired,
        (SELECT count(*) FROM cascade.receipts WHERE applied_at IS NOT NULL) AS applied,
        (SELECT count(*) FROM cascade.charges) AS charges
""")


def counted(engine: Engine) -> dict[str, int]:
    """Rows by what they are, all at one moment."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        return dict(connection.execute(_COUNTS).one()._mapping)  # noqa: SLF001  # SQLAlchemy's own way


def require(found: Mapping[str, object], **wanted: object) -> None:
    """Raises VoidError that names each count which is not what it should be."""
    wrong = [
        f"{name} {found[name]} instead of {want}"
        for name, want in wanted.items()
        if found[name] != want
    ]
    if wrong:
        raise VoidError(", ".join(wrong))
