"""Webhooks on their way to customers' endpoints, each endpoint with calls of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus

from cascade.callbacks import signature
from cascade.callbacks.endpoints import Endpoint, Endpoints
from cascade.channels.base import HttpRequest, HttpResponse
from cascade.channels.call import Trust
from cascade.channels.exchange import Exchange
from cascade.channels.http_status import retry_after
from cascade.channels.threaded import ThreadedTransport
from cascade.domain.callback import Webhook


DEADLINE = 15.0  # seconds for one call in all: the least that Standard Webhooks recommends
CONNECT_TIMEOUT = 5.0  # seconds, of these
BODY_LIMIT = 64 * 1024  # bytes of an answer, which nobody reads

_TAKEN = range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What became of one webhook: `error` is None if it was taken, else a status or a fault."""

    webhook: Webhook
    error: str | None
    is_gone: bool = False  # the endpoint wants no more
    retry_after: float | None = None  # seconds that it asks for


class Poster:
    """Calls endpoints, each up to its number of connections at once; not for several threads.

    Calls may outlast whoever started them: `collect` hands them out to the next one.
    """

    def __init__(self, endpoints: Endpoints, *, deadline: float = DEADLINE) -> None:
        """`deadline`: seconds for one call."""
        self._endpoints = endpoints.by_name
        self._in_flight: Counter[str] = Counter()
        # Twice the calls: one that was given up while it connects keeps its thread for a moment.
        self._transport = ThreadedTransport[Webhook](
            flight=2 * sum(one.connections for one in self._endpoints.values()) or 1,
            connect_timeout=CONNECT_TIMEOUT,
            deadline=deadline,
            body_limit=BODY_LIMIT,
            trust=Trust(choose=endpoints.guard.addresses, ca_file=endpoints.ca_file),
        )

    @property
    def rooms(self) -> dict[str, int]:
        """How many more calls each endpoint may be given now."""
        return {
            name: one.connections - self._in_flight[name] for name, one in self._endpoints.items()
        }

    @property
    def room(self) -> int:
        """How many calls may be made in all."""
        return self._transport.room

    @property
    def in_flight(self) -> int:
        """Calls that `collect` has not handed out yet."""
        return self._transport.in_flight

    def post(self, webhook: Webhook, body: bytes) -> None:
        """Starts the call; its endpoint must have room."""
        self._transport.submit(_request(self._endpoints[webhook.endpoint], webhook, body))
        self._in_flight[webhook.endpoint] += 1

    def collect(self, wait: float) -> list[Posted]:
        """The calls that have ended; waits `wait` seconds for the first one, if any is under way."""
        done = [_posted(one) for one in self._transport.collect(wait)]
        self._in_flight.subtract(one.webhook.endpoint for one in done)
        return done

    def close(self) -> None:
        """Gives up what is on its way."""
        self._transport.close()


def _request(endpoint: Endpoint, webhook: Webhook, body: bytes) -> HttpRequest[Webhook]:
    timestamp = int(webhook.posted_at.timestamp())
    signed = signature.headers(endpoint.keys, webhook.id, timestamp, body)
    return HttpRequest(
        method="POST",
        url=endpoint.url,
        headers={"Content-Type": "application/json", **signed},
        body=body,
        items=(webhook,),
    )


def _posted(exchange: Exchange[Webhook]) -> Posted:
    [webhook] = exchange.request.items
    outcome = exchange.outcome
    if not isinstance(outcome, HttpResponse):
        return Posted(webhook=webhook, error=outcome.code)
    if outcome.status in _TAKEN:
        return Posted(webhook=webhook, error=None)
    return Posted(
        webhook=webhook,
        error=f"http_{outcome.status}",
        is_gone=outcome.status == HTTPStatus.GONE,
        retry_after=retry_after(outcome),
    )
