"""What work asks of the database and the broker, in counts that are the same on every machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from celery.signals import after_task_publish
from sqlalchemy import Connection, Engine, event


# The server's count of what the transaction has written so far. It may still hold that of older
# ones of the same connection, so it is read at the begin, too.
_WRITTEN = """
    SELECT relname, n_tup_ins + n_tup_upd + n_tup_del
    FROM pg_stat_xact_user_tables WHERE schemaname = 'cascade'
"""


class Meter:
    """Counts by phase: `statements`, `commits`, `broker messages`, and `rows of <table>` written."""

    def __init__(self) -> None:
        self.phase = ""
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._written_before: Counter[str] = Counter()

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """What happens in here counts as this phase, unless `phase` is set anew meanwhile."""
        self.phase = phase
        yield
        self.phase = ""

    def begun(self, connection: Connection) -> None:
        self._written_before = _written(connection)

    def executing(self, *_: object) -> None:
        self.counts[self.phase]["statements"] += 1

    def committing(self, connection: Connection) -> None:
        self.counts[self.phase]["commits"] += 1
        self.counts[self.phase] += _written(connection) - self._written_before

    def published(self, **_: object) -> None:
        self.counts[self.phase]["broker messages"] += 1


@contextmanager
def metered(engine: Engine) -> Iterator[Meter]:
    """Counts what one thread does on `engine`, and what this process publishes."""
    meter = Meter()
    listeners: dict[str, Callable[..., None]] = {
        "begin": meter.begun,
        "before_cursor_execute": meter.executing,
        "commit": meter.committing,
    }
    for name, listener in listeners.items():
        event.listen(engine, name, listener)
    after_task_publish.connect(meter.published)
    try:
        yield meter
    finally:
        after_task_publish.disconnect(meter.published)
        for name, listener in listeners.items():
            event.remove(engine, name, listener)


def _written(connection: Connection) -> Counter[str]:
    """Past SQLAlchemy, which would tell of it as of a statement."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(_WRITTEN)
        return Counter({f"rows of {table}": count for table, count in cursor.fetchall()})
