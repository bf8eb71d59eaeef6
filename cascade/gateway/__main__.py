"""`python -m cascade.gateway --port 8080 --metrics-port 9464`: serves until it is stopped."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys

from contextlib import suppress

from prometheus_client import start_http_server

from cascade import logs
from cascade.channels.registry import load_accounts
from cascade.dispatch import COLLECT, Dispatcher, producer_app, queue_lengths
from cascade.gateway.app import make_app
from cascade.gateway.metrics import Metrics
from cascade.gateway.nudge import EXPIRES, Nudge
from cascade.gateway.server import server
from cascade.settings import ServiceSettings, load
from cascade.storage.database import connect


def main() -> None:
    """Reads the environment and serves."""
    arguments = _arguments()
    settings = load(ServiceSettings)
    logs.configure(logging.getLevelNamesMapping()[arguments.log_level])
    database_url = settings.database_url.get_secret_value()
    broker_url = settings.broker_url.get_secret_value()
    adapters = load_accounts(
        settings.config_dir / "providers.toml",
        environ=os.environ,
        gateway_url=settings.gateway_url,
        sends=False,
    )
    metrics = Metrics(
        engine=connect(database_url, pool_size=1),
        queue_lengths=functools.partial(queue_lengths, broker_url),
        accounts=adapters,
    )
    if arguments.metrics_port is not None:
        start_http_server(arguments.metrics_port, arguments.metrics_host, metrics.registry)
    dispatcher = Dispatcher(producer_app(broker_url))
    nudge = Nudge(functools.partial(dispatcher.send, COLLECT, [], COLLECT, expires=EXPIRES))
    app = make_app(
        adapters=adapters,
        keyring=settings.keyring(),
        engine=connect(database_url),
        trusted_hops=settings.gateway_trusted_hops,
        answered=metrics.answered,
        committed=nudge,
    )
    serving = server(app, host=arguments.host, port=arguments.port)
    with nudge, suppress(KeyboardInterrupt):
        serving.run()
    if not serving.started:
        sys.exit("the gateway could not start")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cascade.gateway", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    # A port of their own: what providers can reach must not show how the business goes.
    parser.add_argument("--metrics-host", default="127.0.0.1")
    parser.add_argument("--metrics-port", type=int, help="where Prometheus asks; none without it")
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    parser.add_argument("--log-level", choices=levels, default="INFO")
    return parser.parse_args()


if __name__ == "__main__":
    main()
