"""Cascade in the tests of an app: the real client on real servers that are the tests' own."""

from __future__ import annotations

import secrets
import tempfile

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from cascade import embedded
from cascade.client import Cascade
from cascade.dispatch import Dispatcher, producer_app
from cascade.domain.policy import ChannelFacts, Policy, PolicyStep, read_policies
from cascade.domain.state import Channel
from cascade.services.deployment import Ledger
from cascade.services.sync import load_channels, sync
from cascade.settings import KEY_BYTES, DatabaseSettings
from cascade.storage.database import connect, transaction
from cascade.storage.migrate import upgrade
from cascade.storage.policies import sync as sync_policies, sync_channels
from cascade.storage.sealing import Keyring


# What policies that are given inline are checked against; nothing is called.
_PROVIDERS = """
[accounts.notify-vk]
provider = "notify"
channel = "vk"
[accounts.notify-ok]
provider = "notify"
channel = "ok"
[accounts.devino-viber]
provider = "devino"
channel = "viber"
[accounts.cloud-whatsapp]
provider = "cloud"
channel = "whatsapp"
[accounts.smsc]
provider = "smsc"
channel = "sms"
"""


@contextmanager
def deployment(
    config: Path | Mapping[str, Sequence[PolicyStep]], *, database_url: str | None = None
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
        cascade = _client(database_url, broker_url, config, home)
        stack.callback(cascade.close)
        yield cascade


def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cascade-testing-", ignore_cleanup_errors=True)


def _client(
    database_url: str,
    broker_url: str,
    config: Path | Mapping[str, Sequence[PolicyStep]],
    home: Path,
) -> Cascade:
    settings = DatabaseSettings(database_url=SecretStr(database_url))
    engine = connect(settings.database_url.get_secret_value(), pool_size=5)
    upgrade(engine)
    if isinstance(config, Path):
        sync(engine, config)
    else:
        channels, policies = _checked(config, home)
        transaction(engine, lambda c: sync_channels(c, channels))
        transaction(engine, lambda c: sync_policies(c, policies))
    keyring = Keyring({"tests": secrets.token_bytes(KEY_BYTES)}, secrets.token_bytes(KEY_BYTES))
    publish = Dispatcher(producer_app(broker_url)).publish
    return Cascade(Ledger(engine=engine, keyring=keyring, publish=publish))


def _checked(
    policies: Mapping[str, Sequence[PolicyStep]], home: Path
) -> tuple[dict[Channel, ChannelFacts], list[Policy]]:
    (home / "providers.toml").write_text(_PROVIDERS, "utf-8")
    channels = load_channels(home)
    document = {"policies": {name: {"steps": steps} for name, steps in policies.items()}}
    return channels, read_policies("policies", document, channels)
