"""The sandbox's own clock, and how fast its people and providers live."""

from __future__ import annotations

import datetime as dt
import time

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """`scale` multiplies people's delays and the pauses between repeated webhooks.

    `second` is the length of a promised second (TTLs, late deliveries, held answers), in seconds:
    1 everywhere but in tests.
    """

    scale: float = 1.0
    second: float = 1.0


def now() -> dt.datetime:
    """The current time, aware, UTC."""
    return dt.datetime.fromtimestamp(time.time(), dt.UTC)
