"""Settings from the environment, checked all at once; secrets never show in a repr."""

from __future__ import annotations

import base64
import binascii

from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cascade.domain.errors import ConfigurationError
from cascade.storage.sealing import Keyring


KEY_BYTES = 32
BROKERS = (
    "redis",
    "rediss",
    "sentinel",
    "amqp",
    "amqps",
    "pyamqp",
    "memory",
)  # as kombu names them

S = TypeVar("S", bound=BaseSettings)


def _key(encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"{len(key)} bytes, but a key has {KEY_BYTES}")
    return key


def _keys(value: object) -> object:
    """`id:base64,id:base64`: the first key seals, all of them open."""
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
    return {key_id: SecretBytes(_key(encoded)) for key_id, _, encoded in pairs}


def _hash_key(value: object) -> object:
    return SecretBytes(_key(value)) if isinstance(value, str) else value


def _addresses(value: object) -> object:
    """`name=url name2=url2`, which white space parts."""
    if not isinstance(value, str):
        return value
    found: dict[str, SecretStr] = {}
    for place, word in enumerate(value.split(), 1):
        name, _, url = word.partition("=")
        if not name or "://" not in url or "://" in name:
            raise ValueError(f"entry {place} is not name=address")
        if name in found:
            raise ValueError(f"entry {place} has the name of an earlier one")
        found[name] = SecretStr(url)
    return found


def _broker_url(url: SecretStr) -> SecretStr:
    """What kombu can read: it would tell parts of a password where it cannot."""
    for one in url.get_secret_value().split(";"):  # several are Sentinel's, or RabbitMQ's nodes
        if urlsplit(one).scheme not in BROKERS:
            raise ValueError(f"not an address of {', '.join(BROKERS)}")
        if not _is_readable(one):
            raise ValueError(
                "no address: write /, @, : and # of its password as %2F, %40, %3A, %23"
            )
    return url


def _is_readable(url: str) -> bool:
    try:
        urlsplit(url).port  # noqa: B018  # reading it checks it
    except ValueError:
        return False
    return "@" not in urlsplit(url).path  # else the password was cut at its slash


def _redis_url(url: SecretStr) -> SecretStr:
    if not _is_redis(_broker_url(url).get_secret_value()):
        raise ValueError("not an address of redis, rediss")
    return url


def _is_redis(url: str) -> bool:
    return urlsplit(url).scheme in {"redis", "rediss"} and ";" not in url


def _database_url(url: SecretStr) -> SecretStr:
    """Names psycopg2, since SQLAlchemy 2.1 would take another driver for `postgresql://`."""
    scheme, separator, rest = url.get_secret_value().partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg2"} or not separator:
        raise ValueError("not a postgresql:// address")
    return SecretStr(f"postgresql+psycopg2://{rest}")


SealKeys = Annotated[dict[str, SecretBytes], NoDecode, BeforeValidator(_keys), Field(min_length=1)]
HashKey = Annotated[SecretBytes, BeforeValidator(_hash_key)]
Addresses = Annotated[dict[str, SecretStr], NoDecode, BeforeValidator(_addresses)]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]


_FROM_ENVIRONMENT = SettingsConfigDict(
    env_prefix="CASCADE_", frozen=True, hide_input_in_errors=True, extra="ignore"
)


class BrokerSettings(BaseSettings):
    """What Flower needs."""

    model_config = _FROM_ENVIRONMENT

    broker_url: BrokerUrl


class LimitSettings(BrokerSettings):
    """Where providers' limits are kept."""

    limits_url: RedisUrl | None = None  # None: by the broker, if it is Redis or Valkey

    @property
    def limits_address(self) -> str | None:
        """The address of a Redis or Valkey, a secret; None if there is none."""
        url = (self.limits_url or self.broker_url).get_secret_value()
        return url if _is_redis(url) else None


class ProducerSettings(BrokerSettings):
    """What an app needs that only reaches the broker."""

    seal_keys: SealKeys
    hash_key: HashKey

    def keyring(self) -> Keyring:
        """The keys, ready to seal and open."""
        keys = {key_id: key.get_secret_value() for key_id, key in self.seal_keys.items()}
        return Keyring(keys, self.hash_key.get_secret_value())


class DatabaseSettings(BaseSettings):
    """What migrations need."""

    model_config = _FROM_ENVIRONMENT

    database_url: DatabaseUrl


class ClientSettings(ProducerSettings, DatabaseSettings):
    """What an app needs to enqueue: the database besides."""


class ServiceSettings(ClientSettings, LimitSettings):
    """What workers and the gateway need besides: the config files and the public address."""

    config_dir: Path = Path("config")
    gateway_url: str = "http://127.0.0.1:8080"
    gateway_trusted_hops: Annotated[int, Field(ge=0)] = 0  # proxies of ours before the gateway
    # How providers are called: by requests in threads, or by aiohttp on an event loop, for volume.
    transport: Literal["threads", "event_loop"] = "threads"
    flight: Annotated[int, Field(ge=1, le=1024)] = 16  # calls in flight per worker process
    callback_brokers: Addresses = Field(default_factory=dict)  # of callers, for `on_status`
    records_dir: Path | None = None  # of the providers' records that are compared every night


def load(kind: type[S]) -> S:
    """Reads the environment; raises one ConfigurationError that names every problem."""
    try:
        return partial(kind)()
    except ValidationError as error:
        lines = [
            f"CASCADE_{'_'.join(map(str, details['loc'][:1])).upper()}: {_told(details['type'], details['msg'])}"
            for details in error.errors(include_input=False, include_url=False)
        ]
        count = f"{len(lines)} setting{'s' if len(lines) > 1 else ''}"
        raise ConfigurationError(
            "environment", f"{count} cannot be used", "\n".join(["mend:", *lines])
        ) from None


def _told(kind: str, message: str) -> str:
    return "it is not set" if kind == "missing" else message.removeprefix("Value error, ")
