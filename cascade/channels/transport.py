"""The way to providers: many HTTP calls at once, each under a total deadline.

Every fault of the wire becomes one of two things: provably not sent, or ambiguous.
"""

from __future__ import annotations

from typing import Protocol

from cascade.channels.base import HttpRequest, T
from cascade.channels.exchange import Exchange


class Transport(Protocol[T]):
    """Up to `flight` calls at once. Not for use from several threads at once.

    A call ends `deadline` seconds after `submit` at the latest, however slowly the provider
    trickles. It is made once: what may have left is never written again. Redirects are not
    followed, cookies not kept, the environment not read; an answer's body over the limit is
    ambiguous.
    """

    flight: int
    deadline: float

    @property
    def in_flight(self) -> int:
        """Calls submitted and not collected yet."""
        ...

    @property
    def room(self) -> int:
        """How many calls may be submitted now: `flight` less those in flight."""
        ...

    def submit(self, request: HttpRequest[T], *, start_by: float | None = None) -> None:
        """Starts a call; raises RuntimeError if there is no room.

        A call whose first byte is not written by `start_by`, a moment of the monotonic clock
        (default: `deadline` seconds from now), is never made: whoever stalled may have lost the
        right to make it.
        """
        ...

    def collect(self, wait: float) -> list[Exchange[T]]:
        """The calls that have ended since; waits up to `wait` seconds for the first one.

        Returns at once if nothing is under way.
        """
        ...

    def close(self) -> None:
        """Gives up every call that has not ended; nobody hears of those."""
        ...
