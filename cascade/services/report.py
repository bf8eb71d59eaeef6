"""Answering a report's question from one snapshot of the database."""

from __future__ import annotations

from sqlalchemy import Engine

from cascade.domain.report import Question, Report, report
from cascade.storage.database import transaction
from cascade.storage.report import figures


def answer(engine: Engine, question: Question) -> Report:
    """Reads only, and sees one moment: what happens meanwhile is in all the figures or in none."""
    snapshot = engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    return report(question, transaction(snapshot, lambda c: figures(c, question)))
