"""The sandbox's ledger: what the providers were asked, took, delivered, told, and bill."""

from __future__ import annotations

import datetime as dt

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from typing_extensions import override

from chaos.checker.json_lines import EvidenceError, read_lines


@dataclass(frozen=True, slots=True)
class Key:
    """What joins a provider's record and ours: an account and our reference."""

    account: str
    client_ref: str | None

    @override
    def __str__(self) -> str:
        return f"{self.account} {self.client_ref}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A message that reached a provider, taken or not."""

    key: Key
    channel: str
    received_at: dt.datetime
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A delivered message: what the provider wants to be paid."""

    key: Key
    ref: str  # the provider's
    accepted_at: dt.datetime
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A webhook that was answered with 2xx: the provider will not tell it again."""

    key: Key
    ref: str  # the provider's
    word: str  # sent, delivered, read, unsupported, blocked, undeliverable, expired


@dataclass(slots=True)
class Ledger:
    """Its lines, sorted out."""

    calls: list[Call] = field(default_factory=list)
    accepted: Counter[Key] = field(default_factory=Counter)
    bills: dict[Key, list[Bill]] = field(default_factory=lambda: defaultdict(list))
    told: dict[Key, list[Told]] = field(default_factory=lambda: defaultdict(list))
    unheard: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))  # words
    events: Counter[str] = field(default_factory=Counter)


def read_ledger(path: Path) -> Ledger:
    """Raises EvidenceError."""
    ledger = Ledger()
    for line in read_lines(path):
        try:
            _enter(ledger, line)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise EvidenceError(
                f"{path}: {line.get('event')} lacks or mistakes {error}"
            ) from error
    return ledger


def delivers(words: Sequence[str] | set[str]) -> bool:
    """Whether one of a provider's words tells of a delivery."""
    return bool({"delivered", "read"}.intersection(words))


def _enter(ledger: Ledger, line: Mapping[str, Any]) -> None:
    event, key = line["event"], Key(line["account"], line["client_ref"])
    ledger.events[event] += 1
    match event:
        case "called":
            ledger.calls.append(_call(key, line))
        case "accepted":
            ledger.accepted[key] += 1
        case "delivered":
            ledger.bills[key].append(_bill(key, line))
        case "told" if line["status"] is not None and 200 <= line["status"] < 300:  # noqa: PLR2004  # HTTP's own numbers
            ledger.told[key].append(Told(key=key, ref=line["ref"], word=line["word"]))
        case "unheard":
            ledger.unheard[key].add(line["word"])
        case _:  # counted, and nothing more is asked of it
            pass


def _call(key: Key, line: Mapping[str, Any]) -> Call:
    return Call(
        key=key,
        channel=line["channel"],
        received_at=dt.datetime.fromisoformat(line["received_at"]),
        accepted=line["accepted"],
    )


def _bill(key: Key, line: Mapping[str, Any]) -> Bill:
    return Bill(
        key=key,
        ref=line["ref"],
        accepted_at=dt.datetime.fromisoformat(line["accepted_at"]),
        amount=Decimal(line["amount"]),
        currency=line["currency"],
    )
