from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sqlalchemy import Engine, event, text

from cascade.storage.database import connect


@pytest.fixture
def cut_connection(engine: Engine, database_url: str) -> Iterator[Callable[[str], list[str]]]:
    """Cuts the connection that is the first to execute a statement with these words.

    The list that is returned holds the statement once that has happened.
    """
    killer = connect(database_url)
    wanted: list[str] = []
    cut: list[str] = []

    def arm(words: str) -> list[str]:
        wanted.append(words)
        return cut

    def before(connection, _cursor, statement, *_rest):
        if wanted and not cut and wanted[0] in statement:
            cut.append(statement)
            pid = connection.connection.dbapi_connection.info.backend_pid
            with killer.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    event.listen(engine, "before_cursor_execute", before)
    yield arm
    event.remove(engine, "before_cursor_execute", before)
    killer.dispose()
