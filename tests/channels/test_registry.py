from __future__ import annotations

from pathlib import Path

import pytest

from cascade.channels.base import Pollable
from cascade.channels.limit import AccountLimits, Limit
from cascade.channels.registry import (
    account_for,
    environment_name,
    limits_of,
    load_accounts,
    load_capabilities,
)
from cascade.domain.errors import ConfigurationError
from cascade.domain.money import PriceUnit
from cascade.domain.state import Channel


PROVIDERS = Path(__file__).parents[2] / "config" / "providers.toml"
TOKEN = "canary-token-0123456789"
ENVIRON = {
    "CASCADE_NOTIFY_VK_BASE_URL": "https://notify.example/",
    "CASCADE_NOTIFY_VK_CLIENT_SECRET": "canary-1",
    "CASCADE_NOTIFY_VK_WEBHOOK_TOKEN": TOKEN,
    "CASCADE_NOTIFY_OK_BASE_URL": "https://notify.example",
    "CASCADE_NOTIFY_OK_CLIENT_SECRET": "canary-1",
    "CASCADE_NOTIFY_OK_WEBHOOK_TOKEN": TOKEN,
    "CASCADE_DEVINO_VIBER_PASSWORD": "canary-2",
    "CASCADE_DEVINO_VIBER_WEBHOOK_TOKEN": TOKEN,
    "CASCADE_CLOUD_WHATSAPP_ACCESS_TOKEN": "canary-3",
    "CASCADE_CLOUD_WHATSAPP_APP_SECRETS": "canary-4,canary-5",
    "CASCADE_CLOUD_WHATSAPP_VERIFY_TOKEN": "canary-6",
    "CASCADE_SMSC_PASSWORD": "canary-7",
    "CASCADE_SMSC_WEBHOOK_TOKEN": TOKEN,
}


def load(environ=ENVIRON, *, path=PROVIDERS):
    return load_accounts(path, environ=environ, gateway_url="https://cascade.example")


def problems(environ=ENVIRON, *, path=PROVIDERS) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(environ, path=path)
    return str(caught.value)


@pytest.fixture
def providers(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "providers.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_the_shipped_file_has_an_account_for_every_channel():
    accounts = load()
    assert {name: account.channel for name, account in accounts.items()} == {
        "notify-vk": Channel.VK,
        "notify-ok": Channel.OK,
        "devino-viber": Channel.VIBER,
        "cloud-whatsapp": Channel.WHATSAPP,
        "smsc": Channel.SMS,
    }


def test_a_field_of_the_environment_wins_over_the_file():
    accounts = load({**ENVIRON, "CASCADE_SMSC_BASE_URL": "http://127.0.0.1:8900/smsc"})
    assert accounts["smsc"].base_url == "http://127.0.0.1:8900/smsc"
    assert accounts["notify-vk"].base_url == "https://notify.example"


def test_the_shipped_limits_are_those_that_the_providers_name():
    notify = AccountLimits(rate=Limit(50, 1), per_person=Limit(5, 86_400))
    assert limits_of(load()) == {
        "notify-vk": notify,
        "notify-ok": notify,
        "cloud-whatsapp": AccountLimits(rate=Limit(80, 1), per_person=Limit(1, 6)),
    }


def test_a_limit_may_be_lifted_or_set_by_the_environment():
    lifted = {
        f"CASCADE_{account}_{limit}": "unlimited"
        for account in ("NOTIFY_OK", "CLOUD_WHATSAPP")
        for limit in ("RATE", "PER_PERSON")
    }
    changed = {"CASCADE_NOTIFY_VK_RATE": "unlimited", "CASCADE_SMSC_RATE": "15/s"}
    assert limits_of(load({**ENVIRON, **lifted, **changed})) == {
        "notify-vk": AccountLimits(per_person=Limit(5, 86_400)),
        "smsc": AccountLimits(rate=Limit(15, 1)),
    }


@pytest.mark.parametrize("limit", ["RATE", "PER_PERSON"])
def test_what_is_no_limit_is_named_with_its_cure(limit: str):
    told = problems({**ENVIRON, f"CASCADE_SMSC_{limit}": "fifty a second"})
    assert f"accounts.smsc.{limit.lower()}: " in told
    assert "write 50/s, 5/d or 1/6s" in told
    assert f"CASCADE_SMSC_{limit}" in told


def test_allowed_addresses_come_as_a_list():
    accounts = load({**ENVIRON, "CASCADE_SMSC_ALLOWED_IPS": "10.0.0.1, 0:0:0:0:0:0:0:1"})
    assert accounts["smsc"].allowed_ips == frozenset({"10.0.0.1", "::1"})
    assert accounts["notify-vk"].allowed_ips == frozenset()


def test_every_unset_secret_is_named_with_its_variable_at_once():
    told = problems({})
    for variable in ENVIRON:
        assert variable in told


@pytest.mark.parametrize("variable", [name for name in ENVIRON if "BASE_URL" not in name])
def test_an_empty_secret_is_refused(variable):
    assert variable in problems({**ENVIRON, variable: ""})


def test_a_token_that_can_be_guessed_is_refused_and_not_shown():
    told = problems({**ENVIRON, "CASCADE_SMSC_WEBHOOK_TOKEN": "canary-short"})
    assert "CASCADE_SMSC_WEBHOOK_TOKEN" in told
    assert "canary" not in told


def test_an_address_with_a_password_in_it_is_refused_and_not_shown():
    told = problems({**ENVIRON, "CASCADE_SMSC_BASE_URL": "https://user:canary@smsc.ru"})
    assert "accounts.smsc.base_url" in told
    assert "canary" not in told


def test_no_secret_is_in_the_repr_of_the_accounts():
    assert "canary" not in repr(load())


def test_a_secret_in_the_file_is_refused_and_not_shown(providers):
    path = providers(
        '[accounts.sms]\nprovider="smsc"\nchannel="sms"\nbase_url="https://smsc.ru"\n'
        'login="a"\nsender="b"\npassword="canary-in-file"\n'
    )
    told = problems({"CASCADE_SMS_WEBHOOK_TOKEN": TOKEN}, path=path)
    assert "CASCADE_SMS_PASSWORD" in told
    assert "canary" not in told


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "names no account"),
        ("accounts = 7", "names no account"),
        ("[accounts\n", "cannot be read"),
        ("[accounts]\nsms = 7", "no table"),
        ('[accounts.sms]\nchannel="sms"', "accounts.sms: provider"),
        ('[accounts.sms]\nprovider="smtp"\nchannel="sms"', "accounts.sms: provider"),
        ('[accounts.sms]\nprovider="smsc"\nchannel="vk"', "accounts.sms: channel"),
        ('[accounts.sms]\nprovider="smsc"\nchannel=["sms"]', "accounts.sms: channel"),
        ('[accounts.sms]\nprovider="smsc"\nchannel="sms"\ncolour="red"', "accounts.sms.colour"),
        ('[accounts.Sms_]\nprovider="smsc"\nchannel="sms"', "accounts.Sms_.account"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(providers, text, word):
    assert word in problems({}, path=providers(text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "absent.toml" in problems({}, path=tmp_path / "absent.toml")


def test_capabilities_need_no_secrets():
    capabilities = load_capabilities(PROVIDERS)
    channel, sms = capabilities["smsc"]
    assert channel is Channel.SMS
    assert sms.price_unit is PriceUnit.SEGMENT
    assert (sms.ttl_minimum, sms.late_delivery) == (0, True)
    assert capabilities["devino-viber"][1].ttl_minimum == 30


def test_who_is_said_to_be_pollable_is():
    for account in load().values():
        assert account.capabilities.poll == isinstance(account, Pollable)


def test_the_first_account_of_a_channel_serves_it(providers):
    table = 'provider="smsc"\nchannel="sms"\n'
    path = providers(f"[accounts.second]\n{table}[accounts.first]\n{table}")
    capabilities = load_capabilities(path)
    assert account_for(Channel.SMS, capabilities) == "second"
    assert account_for(Channel.VK, capabilities) is None


def test_a_variable_is_named_after_account_and_field():
    assert environment_name("notify-vk", "client_secret") == "CASCADE_NOTIFY_VK_CLIENT_SECRET"
