"""Customers' endpoints, as `config/endpoints.toml` names them.

    ports = [8443]                       # that may be called besides 443
    private_networks = ["10.20.0.0/16"]  # of our own, which may be called, also by http
    ca_file = "/etc/cascade/ca.pem"      # who signs certificates, instead of certifi's list

    [endpoints.<name>]
    url = "https://shop.example.com/cascade"
    connections = 4                      # calls at once, of each process

`CASCADE_ENDPOINT_<NAME>_URL` of the environment wins over the file; the secrets come from there
only: `CASCADE_ENDPOINT_<NAME>_SECRETS`, with commas between, all of which sign. Without the file
there are no endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from cascade.callbacks.guard import Guard
from cascade.callbacks.signature import key_of
from cascade.channels.registry import read_toml
from cascade.domain.errors import ConfigurationError


FILE = "endpoints.toml"

_STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one customer hears, and by which keys it knows us; `connections` are calls at once."""

    name: str
    url: str = field(repr=False)  # may hold a token
    keys: tuple[bytes, ...] = field(repr=False)
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """All of them, by name; the guard says where they may be."""

    by_name: Mapping[str, Endpoint]
    guard: Guard
    ca_file: str | None


class _Entry(BaseModel):
    model_config = _STRICT

    url: str | None = None
    connections: Annotated[int, Field(ge=1, le=64)] = 4


class _File(BaseModel):
    model_config = _STRICT

    ports: frozenset[Annotated[int, Field(ge=1, le=65535)]] = frozenset()
    private_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ca_file: Path | None = None
    endpoints: dict[Name, _Entry] = {}


def load_names(config_dir: Path) -> list[str]:
    """The names alone, for which no secret is needed; raises ConfigurationError."""
    return list(_read(config_dir / FILE).endpoints)


def load_endpoints(config_dir: Path, environ: Mapping[str, str]) -> Endpoints:
    """All endpoints, ready to be called; raises one ConfigurationError with every problem."""
    path = config_dir / FILE
    file = _read(path)
    guard = Guard(ports=file.ports, private_networks=file.private_networks)
    by_name: dict[str, Endpoint] = {}
    problems = list(_problems_of_trust(file))
    for name, entry in file.endpoints.items():
        try:
            by_name[name] = _endpoint(name, entry, guard, environ)
        except ValueError as error:
            problems.append(f"endpoints.{name}.{error}")
    _raise_if_any(problems, path)
    trusted = None if file.ca_file is None else str(file.ca_file)
    return Endpoints(by_name=by_name, guard=guard, ca_file=trusted)


def _read(path: Path) -> _File:
    if not path.exists():
        return _File()
    try:
        return _File.model_validate(read_toml(path))
    except ValidationError as error:
        problems = [_told(details) for details in error.errors(include_input=False)]
        raise _error(problems, path) from None


def _endpoint(name: str, entry: _Entry, guard: Guard, environ: Mapping[str, str]) -> Endpoint:
    """Raises ValueError that names the field, the problem and the cure."""
    url = environ.get(_variable(name, "URL"), entry.url)
    if url is None:
        raise ValueError(f"url: it is not set; set it in the file, or {_variable(name, 'URL')}")
    try:
        guard.check_url(url)
    except ValueError as error:
        raise ValueError(f"url: {error}") from None
    keys = tuple(_keys(name, environ))
    return Endpoint(name=name, url=url, keys=keys, connections=entry.connections)


def _keys(name: str, environ: Mapping[str, str]) -> Iterator[bytes]:
    variable = _variable(name, "SECRETS")
    secrets = [one.strip() for one in environ.get(variable, "").split(",") if one.strip()]
    if not secrets:
        raise ValueError(
            f"secrets: it has none; set {variable}, which `cascade callbacks secret` makes"
        )
    for place, secret in enumerate(secrets, 1):
        try:
            yield key_of(secret)
        except ValueError as error:
            raise ValueError(f"secrets: {variable}, entry {place}: {error}") from None


def _problems_of_trust(file: _File) -> Iterator[str]:
    if file.ca_file is not None and not file.ca_file.is_file():
        yield "ca_file: there is no such file; name a PEM file with the certificates of CAs"


def _variable(name: str, what: str) -> str:
    return f"CASCADE_ENDPOINT_{name}_{what}".upper().replace("-", "_")


def _told(details: ErrorDetails) -> str:
    field_name = ".".join(str(one) for one in details["loc"] if one != "[key]")
    if field_name.endswith(("secret", "secrets")):
        return f"{field_name}: a secret stands in the file; set it in the environment"
    return f"{field_name}: {details['msg']}"


def _raise_if_any(problems: list[str], path: Path) -> None:
    if problems:
        raise _error(problems, path)


def _error(problems: list[str], path: Path) -> ConfigurationError:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return ConfigurationError(str(path), count, "\n".join(["mend:", *problems]))
