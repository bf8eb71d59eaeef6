"""What a broker message says: these attempts may be claimed. Losing or repeating it is harmless."""

from __future__ import annotations

from dataclasses import dataclass

from cascade.domain.state import Channel, Lane


@dataclass(frozen=True, slots=True)
class Hint:
    """One attempt that a worker of `channel` may claim."""

    channel: Channel
    lane: Lane
    attempt_id: int
