"""Checks that ask the broker."""

from __future__ import annotations

from urllib.parse import urlsplit

from cascade.dispatch import ENQUEUE, queue_lengths
from cascade.services.finding import Finding, ok, red, warning
from cascade.settings import BrokerSettings, load


LONG = 5000  # tasks; a hint carries up to 500 ids, so this is a backlog
LONG_ENQUEUE = (
    100  # requests; not even accepted yet, and nothing but their queue's worker sees them
)


def broker() -> Finding:
    """It answers."""
    address = urlsplit(_url())
    try:
        place = f"{address.scheme}://{address.hostname}:{address.port or 'default port'}"
    except ValueError:  # a "/" in the password, most often
        cure = "percent-encode the password in CASCADE_BROKER_URL"
        return red("its address cannot be read", cure)
    queue_lengths(_url())
    return ok(f"{place} answers")


def queues() -> Finding:
    """Nothing piles up."""
    lengths = queue_lengths(_url())
    name, length = max(lengths.items(), key=lambda pair: pair[1])
    total = sum(lengths.values())
    if length > LONG:
        return warning(
            f"{name} holds {length:,} tasks, all queues {total:,}",
            f"start more workers for {name}, or see why they stand still",
        )
    if lengths[ENQUEUE] > LONG_ENQUEUE:
        return warning(
            f"{lengths[ENQUEUE]:,} requests wait in {ENQUEUE}",
            f"start a worker of queue `{ENQUEUE}`, or see why it stands still",
        )
    places = {name: length, ENQUEUE: lengths[ENQUEUE]}  # before a broker is left, it must be empty
    told = ", ".join(f"{count:,} in {place}" for place, count in places.items() if count)
    return ok(f"{total:,} tasks wait" + (f": {told}" if told else ""))


def _url() -> str:
    return load(BrokerSettings).broker_url.get_secret_value()
