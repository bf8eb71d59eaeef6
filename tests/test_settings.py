from __future__ import annotations

import base64

from collections.abc import Callable

import pytest

from cascade.domain.errors import ConfigurationError
from cascade.settings import BrokerSettings, ServiceSettings, load


Settings = Callable[..., ServiceSettings]

KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the service reads from an environment that is complete, with what a test adds."""
    complete = {
        "database_url": "postgresql://u:p@h/d",
        "broker_url": "redis://h/0",
        "seal_keys": f"a:{KEY}",
        "hash_key": KEY,
    }

    def read(**more: str) -> ServiceSettings:
        for name, value in (complete | more).items():
            monkeypatch.setenv(f"CASCADE_{name.upper()}", value)
        return load(ServiceSettings)

    return read


def test_nobody_is_called_back_unless_brokers_are_named(settings: Settings) -> None:
    assert settings().callback_brokers == {}
    assert settings(callback_brokers=" ").callback_brokers == {}


def test_callback_brokers_are_names_with_addresses_which_stay_secret(settings: Settings) -> None:
    given = settings(
        callback_brokers="default=redis://:secret@h/1?a=b\n  shop=amqp://u:secret@h//"
    )

    addresses = {name: url.get_secret_value() for name, url in given.callback_brokers.items()}

    assert addresses == {"default": "redis://:secret@h/1?a=b", "shop": "amqp://u:secret@h//"}
    assert "secret" not in repr(given)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("a=redis://h/1 redis://u:secret@h/2", "entry 2 is not name=address"),
        ("=redis://u:secret@h/1", "entry 1 is not name=address"),
        ("shop=secret", "entry 1 is not name=address"),
        ("redis://u:secret@h/1?x=redis://h", "entry 1 is not name=address"),
        ("a=redis://h/1 a=redis://u:secret@h/2", "entry 2 has the name of an earlier one"),
    ],
)
def test_a_list_of_brokers_that_cannot_be_read_is_refused_without_being_shown(
    settings: Settings, value: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        settings(callback_brokers=value)

    assert "CASCADE_CALLBACK_BROKERS" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p4ss/w0rd@127.0.0.1:6379/0",
        "redis://:p@ss/word@127.0.0.1:6379/0",
        "amqp://guest:pa/ss@127.0.0.1:5672//",
        "valkey://127.0.0.1:6379/0",
        "127.0.0.1:6379",
        "sentinel://one:26379;sentinel://two:many",
    ],
)
def test_a_broker_that_cannot_be_addressed_is_told_at_once_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CASCADE_BROKER_URL", url)

    with pytest.raises(ConfigurationError, match="CASCADE_BROKER_URL") as error:
        load(BrokerSettings)

    for part in ("p4ss", "w0rd", "p@ss", "pa/ss"):
        assert part not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p%2Fw@127.0.0.1:6379/0",
        "rediss://cache:6379",
        "sentinel://one:26379;sentinel://two:26379",
        "amqps://guest:guest@queue/shop",
    ],
)
def test_a_broker_that_can_be_addressed_is_taken(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CASCADE_BROKER_URL", url)
    assert load(BrokerSettings).broker_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("broker_url", "limits_url", "address"),
    [
        ("redis://h/0", None, "redis://h/0"),
        ("rediss://h/0", "redis://l/1", "redis://l/1"),
        ("amqp://h//", "rediss://l/1", "rediss://l/1"),
        ("amqp://h//", None, None),
        ("sentinel://one:26379;sentinel://two:26379", None, None),
    ],
)
def test_limits_are_kept_by_the_broker_where_it_can(
    settings: Settings, broker_url: str, limits_url: str | None, address: str | None
) -> None:
    more = {} if limits_url is None else {"limits_url": limits_url}
    assert settings(broker_url=broker_url, **more).limits_address == address


@pytest.mark.parametrize("url", ["amqp://u:secret@h//", "secret", "redis://:se/cret@h/0"])
def test_an_address_that_keeps_no_limits_is_refused_without_being_shown(
    settings: Settings, url: str
) -> None:
    with pytest.raises(ConfigurationError, match="CASCADE_LIMITS_URL") as caught:
        settings(limits_url=url)

    assert "cret" not in str(caught.value)
