"""What a scripted provider does with one message: its answer, and the receipts that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cascade.channels.base import (
    Accepted,
    Rejected,
    Result,
    Throttled,
    Unavailable,
    Undeliverable,
    Unsupported,
)
from cascade.domain.state import AttemptState


_ACCEPTED = Accepted()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One provider's behaviour towards one message; times in seconds.

    `answer`: None if no answer comes, though the message is taken if `is_taken`.
    `receipts`: (seconds after the call, state), as the provider sends them.
    `before`: how it answers the first calls, one each.
    """

    answer: Result | None = _ACCEPTED
    is_taken: bool = True
    receipts: tuple[tuple[float, AttemptState], ...] = ()
    before: tuple[Result, ...] = ()


def delivered(after: float = 2.0, *, read_after: float | None = None) -> Reaction:
    """It is on the person's device after so many seconds, and read so many after the call."""
    receipts = [(after, AttemptState.DELIVERED)]
    if read_after is not None:
        receipts.append((read_after, AttemptState.READ))
    return Reaction(receipts=tuple(receipts))


def unsupported(after: float | None = None, *, code: str = "no-user") -> Reaction:
    """Not a user of the channel: the provider says so at once, or `after` seconds by webhook."""
    if after is None:
        return Reaction(answer=Unsupported(code), is_taken=False)
    return Reaction(receipts=((after, AttemptState.UNSUPPORTED),))


def undeliverable(after: float | None = None, *, code: str = "unreachable") -> Reaction:
    """The provider gives up, at once or by webhook."""
    if after is None:
        return Reaction(answer=Undeliverable(code), is_taken=False)
    return Reaction(receipts=((after, AttemptState.UNDELIVERABLE),))


def rejected(code: str = "template") -> Reaction:
    """Refused for a reason that is the sender's to mend."""
    return Reaction(answer=Rejected(code), is_taken=False)


def silent() -> Reaction:
    """It takes the message, and nothing is heard of it again."""
    return Reaction()


def unanswered(then: Reaction | None = None) -> Reaction:
    """It takes the message, the answer is lost; `then` its receipts come, if any."""
    return replace(then or silent(), answer=None)


def vanished() -> Reaction:
    """The request is lost on its way, and the caller cannot know."""
    return Reaction(answer=None, is_taken=False)


def throttled(
    times: int = 1, *, retry_after: float | None = None, then: Reaction | None = None
) -> Reaction:
    """Refuses the first calls as too many, `then` reacts."""
    return replace(then or delivered(), before=(Throttled("busy", retry_after),) * times)


def refused(times: int = 1, *, then: Reaction | None = None) -> Reaction:
    """Cannot be connected to the first times, `then` reacts."""
    return replace(then or delivered(), before=(Unavailable("refused"),) * times)
