"""One call to a provider, from an adapter's words to the results of its items.

Whatever a builder or a parser raises ends here as a result, so that one bad item or answer never
stops its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, assert_never

from cascade.channels.base import (
    Adapter,
    HttpRequest,
    HttpResponse,
    Item,
    Rejected,
    Result,
    Unavailable,
    Unknown,
)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably no byte of the request left us."""

    code: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The request may have arrived, and no whole answer came back."""

    code: str


Outcome = HttpResponse | NotSent | Ambiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(Generic[T]):
    """A request and what became of it."""

    request: HttpRequest[T]
    outcome: Outcome


def requests_for(
    adapter: Adapter, items: Sequence[Item]
) -> tuple[list[HttpRequest[Item]], dict[int, Rejected]]:
    """The requests that carry `items`, and the attempts that cannot be said at all.

    A set that cannot be built is halved down to the culprit, which is rejected as
    `unbuildable:<class of the exception>`.
    """
    if not items:
        return [], {}
    try:
        return list(adapter.requests_for(items)), {}
    except Exception as error:  # noqa: BLE001  # whatever a builder raises is its item's fault
        if len(items) == 1:
            return [], {items[0].attempt_id: Rejected(f"unbuildable:{type(error).__name__}")}
    middle = len(items) // 2
    first, first_rejected = requests_for(adapter, items[:middle])
    second, second_rejected = requests_for(adapter, items[middle:])
    return first + second, first_rejected | second_rejected


def results(adapter: Adapter, exchange: Exchange[Item]) -> list[tuple[Item, Result]]:
    """Each item of the call with its result, in the order of the body; never raises."""
    items = exchange.request.items
    outcome = exchange.outcome
    match outcome:
        case NotSent(code):
            return [(item, Unavailable(code)) for item in items]
        case Ambiguous(code):
            return [(item, Unknown(code)) for item in items]
        case HttpResponse():
            return _read(adapter, exchange.request, outcome)
        case _:
            assert_never(outcome)


def _read(
    adapter: Adapter, request: HttpRequest[Item], response: HttpResponse
) -> list[tuple[Item, Result]]:
    try:
        return list(zip(request.items, adapter.results_of(request, response), strict=True))
    except Exception as error:  # noqa: BLE001  # an unreadable answer may be an acceptance
        unknown = Unknown(f"unreadable:{type(error).__name__}")
        return [(item, unknown) for item in request.items]
