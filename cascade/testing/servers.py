"""Cascade in the tests of an app: the real client on real servers that are the tests' own."""

from __future__ import annotations

import secrets
import tempfile

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from cascade import embedded
from cascade.client import Cascade
from cascade.dispatch import Dispatcher, producer_app
from cascade.services.deployment import Ledger
from cascade.services.sync import sync
from cascade.settings import KEY_BYTES, DatabaseSettings
from cascade.storage.database import connect, transaction
from cascade.storage.migrate import upgrade
from cascade.storage.policies import sync as sync_policies, sync_channels
from cascade.storage.sealing import Keyring
from cascade.testing.configuration import PolicySteps, configured


@contextmanager
def deployment(
    config: Path | PolicySteps, *, database_url: str | None = None
) -> Iterator[Cascade]:
    """A client that accepts as in production. Nothing is sent: no worker runs.

    config: a directory with `policies.toml`, `providers.toml` and `rates.csv`; or policies by
        name, each a list of steps.
    database_url: a PostgreSQL database of the tests' own, such as the app's, so that `session=`
        can join its transactions; the schema `cascade` is made there. An embedded one if None.

    Takes the extra `embedded`; neither reads nor sets variables of the environment. Raises
    EmbeddedError where a server does not start, and ConfigurationError.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(_home()))
        if database_url is None:
            database_url = stack.enter_context(embedded.postgres(home, durable=False))
        broker_url = stack.enter_context(embedded.valkey(home, durable=False))
        cascade = _client(database_url, broker_url, config)
        stack.callback(cascade.close)
        yield cascade


def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cascade-testing-", ignore_cleanup_errors=True)


def _client(
    database_url: str,
    broker_url: str,
    config: Path | PolicySteps,
) -> Cascade:
    settings = DatabaseSettings(database_url=SecretStr(database_url))
    engine = connect(settings.database_url.get_secret_value(), pool_size=5)
    upgrade(engine)
    if isinstance(config, Path):
        sync(engine, config)
    else:
        given = configured(config)
        transaction(engine, lambda c: sync_channels(c, given.channels))
        transaction(engine, lambda c: sync_policies(c, given.policies))
    keyring = Keyring({"tests": secrets.token_bytes(KEY_BYTES)}, secrets.token_bytes(KEY_BYTES))
    publish = Dispatcher(producer_app(broker_url)).publish
    return Cascade(Ledger(engine=engine, keyring=keyring, publish=publish))
