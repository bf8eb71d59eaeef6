"""Which accounts there are, and which one serves a channel.

`config/providers.toml` has a table per account:

    [accounts.<account>]
    provider = "notify" | "devino" | "cloud" | "smsc"
    channel = "vk" | "ok" | "viber" | "whatsapp" | "sms"
    <field> = <value>

The first account of a channel serves it. Every field may also come from the environment, as
`CASCADE_<ACCOUNT>_<FIELD>`, which wins; secrets come from there only. A list is comma-separated.
"""

from __future__ import annotations

import tomllib

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cascade.channels.account import Account, UnsignedAccount
from cascade.channels.base import Adapter, Capabilities
from cascade.channels.cloud import Cloud
from cascade.channels.devino import Devino
from cascade.channels.limit import AccountLimits
from cascade.channels.notify import Notify
from cascade.channels.smsc import Smsc
from cascade.domain.errors import ConfigurationError
from cascade.domain.state import Channel


Provider = type[Notify] | type[Devino] | type[Cloud] | type[Smsc]

_PROVIDERS: Mapping[str, Provider] = {
    "notify": Notify,
    "devino": Devino,
    "cloud": Cloud,
    "smsc": Smsc,
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One account as it stands in the file, once its provider and channel are known."""

    account: str
    provider: Provider
    channel: Channel
    fields: Mapping[str, object]


def load_accounts(
    path: Path, *, environ: Mapping[str, str], gateway_url: str, sends: bool = True
) -> dict[str, Adapter]:
    """Every account of the file, ready to use, by name and in the order of the file.

    Who only receives (`sends=False`) may know all webhook tokens by their digests. Raises one ConfigurationError with every problem of every account and its cure.
    """
    accounts: dict[str, Adapter] = {}
    problems: list[str] = []
    for entry in _entries(path):
        try:
            accounts[entry.account] = _adapter(entry, environ, gateway_url)
        except ValidationError as error:
            problems += [_told(entry, details) for details in error.errors(include_input=False)]
        problems += _secrets_in_file(entry)
    if sends:
        problems += [_unknown_token(one) for one in accounts.values() if _gives_unknown_token(one)]
    _raise_if_any(problems, path)
    return accounts


def load_capabilities(path: Path) -> dict[str, tuple[Channel, Capabilities]]:
    """What each account of the file can do, in its order; needs no secrets.

    Raises ConfigurationError.
    """
    return {
        entry.account: (entry.channel, entry.provider.capabilities) for entry in _entries(path)
    }


def limits_of(accounts: Mapping[str, Adapter]) -> dict[str, AccountLimits]:
    """The limits of those accounts that have any."""
    return {
        name: AccountLimits(rate=one.rate, per_person=one.per_person)
        for name, one in accounts.items()
        if isinstance(one, Account) and (one.rate or one.per_person)
    }


def account_for(
    channel: Channel, capabilities: Mapping[str, tuple[Channel, Capabilities]]
) -> str | None:
    """The account that serves `channel`: the first in the file; None if there is none."""
    for account, (served, _) in capabilities.items():
        if served is channel:
            return account
    return None


def environment_name(account: str, field: str) -> str:
    """The environment variable of one account's field."""
    return f"CASCADE_{account}_{field}".upper().replace("-", "_")


def _entries(path: Path) -> list[_Entry]:
    entries: list[_Entry] = []
    problems: list[str] = []
    for account, table in _tables(path).items():
        try:
            entries.append(_entry(account, table))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"accounts.{account}: {error.args[0]}")
    _raise_if_any(problems, path)
    return entries


def read_toml(path: Path) -> dict[str, Any]:
    """A config file as it stands; raises ConfigurationError."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        cure = "name the directory that holds policies.toml and providers.toml"
        raise ConfigurationError(str(path), "there is no such file", cure) from None
    except (OSError, ValueError) as error:
        said = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ConfigurationError(str(path), "it cannot be read as TOML", said) from None


def _tables(path: Path) -> Mapping[str, Mapping[str, Any]]:
    accounts = read_toml(path).get("accounts")
    if not isinstance(accounts, dict) or not accounts:
        problem = "it names no account"
        raise ConfigurationError(str(path), problem, "give each a table [accounts.<account>]")
    return accounts


def _entry(account: str, table: object) -> _Entry:
    if not isinstance(table, dict):
        raise TypeError("it is no table; write [accounts.<account>]")
    fields = dict(table)
    provider = _PROVIDERS.get(str(fields.pop("provider", "")))
    if provider is None:
        raise ValueError(f"provider: it is unknown; use one of {', '.join(_PROVIDERS)}")
    channel = fields.pop("channel", None)
    if channel not in list(provider.channels):
        served = ", ".join(sorted(provider.channels))
        raise ValueError(f"channel: this provider does not serve it; use one of {served}")
    return _Entry(account, provider, Channel(channel), fields)


def _adapter(entry: _Entry, environ: Mapping[str, str], gateway_url: str) -> Adapter:
    from_environment = {
        name: environ[variable]
        for name, variable in _variables(entry).items()
        if variable in environ
    }
    ours = {"account": entry.account, "channel": entry.channel, "gateway_url": gateway_url}
    return entry.provider.model_validate({**entry.fields, **from_environment, **ours})


def _variables(entry: _Entry) -> dict[str, str]:
    return {name: environment_name(entry.account, name) for name in _fields(entry)}


def _fields(entry: _Entry) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in entry.provider.model_fields.items()}


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _secrets_in_file(entry: _Entry) -> Iterator[str]:
    for name, field in _fields(entry).items():
        if _is_secret(field) and name in entry.fields:
            variable = environment_name(entry.account, name)
            yield f"accounts.{entry.account}.{name}: a secret stands in the file; set {variable}"


def _gives_unknown_token(adapter: Adapter) -> bool:
    if not isinstance(adapter, UnsignedAccount):
        return False
    return adapter.gives_token and not adapter.is_token_known


def _unknown_token(adapter: Adapter) -> str:
    variable = environment_name(adapter.account, "webhook_token")
    problem = "each message carries the first one, and only its digest is here"
    return (
        f"accounts.{adapter.account}.webhook_token: {problem}; put the token itself in {variable}"
    )


def _told(entry: _Entry, details: ErrorDetails) -> str:
    name = str(details["loc"][0])
    problem = "it is not set" if details["type"] == "missing" else details["msg"]
    return f"accounts.{entry.account}.{name}: {problem}; {_cure(entry, name)}"


def _cure(entry: _Entry, name: str) -> str:
    field = _fields(entry).get(name)
    if field is None:
        return "remove it"
    variable = environment_name(entry.account, name)
    if _is_secret(field):
        return f"set {variable} in the environment"
    return f"set it in the file, or {variable} in the environment"


def _raise_if_any(problems: list[str], path: Path) -> None:
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ConfigurationError(str(path), count, "\n".join(["mend:", *problems]))
