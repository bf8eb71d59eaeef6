"""Work on a set that survives one bad item: halved down to it, while its neighbours go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from cascade.storage.database import is_passing


T = TypeVar("T")
R = TypeVar("R")


def halved(
    items: Sequence[T],
    work: Callable[[Sequence[T]], R],
    blame: Callable[[T, Exception], object],
) -> list[R]:
    """What `work` returns for the whole set, or for the parts of it that could be done.

    `blame` hears of each item that fails alone. Raises only what the database's own troubles raise.
    """
    if not items:
        return []
    try:
        return [work(items)]
    except Exception as error:
        if is_passing(error):
            raise
        if len(items) == 1:
            blame(items[0], error)
            return []
    middle = len(items) // 2
    return halved(items[:middle], work, blame) + halved(items[middle:], work, blame)
