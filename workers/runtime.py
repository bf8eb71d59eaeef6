"""What one worker process works with; built on first use, so never shared across a fork."""

from __future__ import annotations

import functools
import os

from celery import current_app

from cascade.callbacks.brokers import CallbackBrokers
from cascade.callbacks.endpoints import load_endpoints
from cascade.callbacks.poster import Poster
from cascade.channels.event_loop import EventLoopTransport
from cascade.channels.limits import limits_at
from cascade.channels.registry import limits_of, load_accounts
from cascade.channels.threaded import ThreadedTransport
from cascade.dispatch import Dispatcher
from cascade.services.admit import RANKS
from cascade.services.deployment import CALL_DEADLINE, Deployment, Ledger
from cascade.settings import ServiceSettings, load
from cascade.storage.database import connect


TRANSPORTS = {"threads": ThreadedTransport, "event_loop": EventLoopTransport}


@functools.cache
def settings() -> ServiceSettings:
    """The environment, read once."""
    return load(ServiceSettings)


@functools.cache
def ledger() -> Ledger:
    """The database with its keys; hints go out through the running task's app."""
    ours = settings()
    return Ledger(
        engine=connect(ours.database_url.get_secret_value()),
        keyring=ours.keyring(),
        publish=Dispatcher(current_app).publish,
    )


@functools.cache
def deployment() -> Deployment:
    """The ledger with the providers' accounts and the way to call them."""
    ours = settings()
    transport = TRANSPORTS[ours.transport]
    adapters = load_accounts(
        ours.config_dir / "providers.toml",
        environ=os.environ,
        gateway_url=ours.gateway_url,
    )
    return Deployment(
        ledger=ledger(),
        adapters=adapters,
        transport=transport(flight=ours.flight, deadline=CALL_DEADLINE),
        poll_transport=transport(flight=ours.flight, deadline=CALL_DEADLINE),
        limits=limits_at(ours.limits_address, limits_of(adapters), ranks=RANKS),
    )


@functools.cache
def callback_brokers() -> CallbackBrokers:
    """The brokers of callers that want to be told."""
    given = settings().callback_brokers
    return CallbackBrokers({name: url.get_secret_value() for name, url in given.items()})


@functools.cache
def poster() -> Poster:
    """The way to customers' endpoints; its calls outlast a task."""
    return Poster(load_endpoints(settings().config_dir, os.environ))
