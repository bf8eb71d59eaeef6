"""A broker that is away, told to the person instead of the log's warning."""

from __future__ import annotations

import logging
import sys

from collections.abc import Iterator
from contextlib import contextmanager

from typing_extensions import override


class _Told(logging.Handler):
    """Says once what all warnings of the dispatcher mean here."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._is_said = False

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_said:
            self._is_said = True
            # Not by click, which would write through a bar that is on the terminal.
            sys.stderr.write("accepted; the broker cannot be reached, so the tick will send it\n")


@contextmanager
def unpublished_told() -> Iterator[None]:
    """Meanwhile a hint that was not published is told in one line on stderr."""
    dispatcher = logging.getLogger("cascade.dispatch")
    handler = _Told()
    dispatcher.addHandler(handler)
    try:
        yield
    finally:
        dispatcher.removeHandler(handler)
