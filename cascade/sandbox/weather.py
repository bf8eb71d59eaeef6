"""How often what goes wrong: shares, by account, from a file."""

from __future__ import annotations

import dataclasses
import tomllib

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Shares between 0 and 1; raises ValueError for others. All is fair by default."""

    ambiguous: float = 0.0  # of sends: nobody who called can know whether they were accepted
    early: float = 0.0  # of accepted sends: answered only after their first webhooks
    failing: float = 0.0  # of the calls of webhooks: not made, or their answer is lost
    lost: float = 0.0  # of webhooks: never called
    duplicated: float = 0.0  # of webhooks: called once more, soon after
    shuffled: float = 0.0  # of webhooks: a moment late, so that others overtake them
    late: float = 0.0  # of webhooks: seconds to half a minute late

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            share = getattr(self, field.name)
            if not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ValueError(f"{field.name} must be a share between 0 and 1")
        if self.shuffled + self.late > 1:
            raise ValueError("shuffled and late must not make more than 1 together")


@dataclass(frozen=True, slots=True)
class Forecast:
    """The weather at each account; `everywhere` where `accounts` does not have it."""

    everywhere: Weather = Weather()
    accounts: Mapping[str, Weather] = dataclasses.field(default_factory=dict)

    def at(self, account: str) -> Weather:
        """The weather at `account`."""
        return self.accounts.get(account, self.everywhere)


FAIR_EVERYWHERE = Forecast()


def read_forecast(path: Path) -> Forecast:
    """A TOML file of shares, in which an account's table overrides them for that account.

    Raises OSError, and ValueError for what is no TOML, no share, or no name of one.
    """
    given = tomllib.loads(path.read_text("utf-8"))
    tables = {name: value for name, value in given.items() if isinstance(value, dict)}
    shares = {name: value for name, value in given.items() if name not in tables}
    accounts = {name: _weather(path, {**shares, **table}) for name, table in tables.items()}
    return Forecast(_weather(path, shares), accounts)


def _weather(path: Path, shares: Mapping[str, Any]) -> Weather:
    try:
        return Weather(**shares)
    except (TypeError, ValueError) as wrong:
        names = ", ".join(field.name for field in dataclasses.fields(Weather))
        raise ValueError(f"{path}: {wrong}; the shares are {names}") from None
