"""The figures of a run: what the database says, and what the sandbox's ledger file says."""

from __future__ import annotations

import datetime as dt
import json

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from cascade.channels.base import Capabilities, Correlation
from cascade.channels.registry import account_for, load_capabilities
from cascade.domain.books import Books, Line, total
from cascade.domain.message import words_for
from cascade.domain.money import Amount, RateBook, charge
from cascade.domain.segments import segments
from cascade.domain.state import AttemptState, Channel, MessageState
from cascade.services.balance import balance
from cascade.services.deployment import Ledger
from cascade.services.sealed import open_content, open_recipient
from cascade.storage import totals
from cascade.storage.database import transaction


PROVIDERS = Path(__file__).parent.parent / "config" / "providers.toml"
ZERO = Decimal(0)
CURRENCY = "RUB"  # the demo's rates know no other; money in another one is an imbalance

Accounts = Mapping[str, tuple[Channel, Capabilities]]


@dataclass(frozen=True, slots=True)
class Sum:
    """So many messages, and their money in `CURRENCY`."""

    count: int = 0
    amount: Decimal = ZERO

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.count + other.count, self.amount + other.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBooks:
    """The two books of one account: `charged` is ours, `billed` is the provider's, and the rest are
    parts of `billed` that were not charged.
    """

    account: str
    charged: Sum
    unattributable: Sum
    unheard: Sum
    duplicates: Sum
    billed: Sum

    @property
    def difference(self) -> Decimal:
        """What the provider bills beyond what was charged and what can never be attributed."""
        return self.billed.amount - self.charged.amount - self.unattributable.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFigures:
    """What became of one channel's attempts."""

    channel: Channel
    outcomes: Mapping[AttemptState, int]  # every attempt once; without zeros
    cost: Decimal
    medians: totals.Medians | None  # None: it delivered nothing

    @property
    def attempts(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    @property
    def delivered(self) -> int:
        """How many reached the person, whether or not they were read."""
        return sum(
            count
            for state, count in self.outcomes.items()
            if state.rank >= AttemptState.DELIVERED.rank
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsForAll:
    """What the same texts would have cost by SMS at the rates of their time, had all arrived."""

    accepted: Decimal  # to everyone
    delivered: Decimal  # only to those whom some channel did reach
    unpriced: int  # messages without a rate for SMS, in neither sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything that the report and the JSON file show."""

    seconds: float  # of the run
    messages: Mapping[MessageState, int]  # every state is named
    waiting: totals.Waiting
    pending: int  # events and webhooks that the sandbox still has to come
    channels: tuple[ChannelFigures, ...]  # in the order of Channel
    median_to_reach: float | None  # seconds from acceptance to the first delivery
    sms_for_all: SmsForAll
    incidents: totals.Incidents
    overlap_cost: Decimal
    orphans: totals.Orphans
    refusals: Mapping[str, int]  # by account and code, as the sandbox refused them
    books: Books = field(repr=False)
    accounts: tuple[AccountBooks, ...]  # by name

    @property
    def accepted(self) -> int:
        """Messages that Cascade took."""
        return sum(self.messages.values())

    @property
    def final(self) -> int:
        """Messages that have ended."""
        return self.accepted - self.messages[MessageState.IN_PROGRESS]

    @property
    def delivered(self) -> int:
        """Messages that reached the person."""
        return self.messages[MessageState.DELIVERED]

    @property
    def undelivered(self) -> int:
        """Messages that ended without reaching the person."""
        return self.messages[MessageState.UNDELIVERED]

    @property
    def in_all(self) -> AccountBooks:
        """The two books over all accounts."""
        return AccountBooks(
            account="in all",
            charged=_sum(one.charged for one in self.accounts),
            unattributable=_sum(one.unattributable for one in self.accounts),
            unheard=_sum(one.unheard for one in self.accounts),
            duplicates=_sum(one.duplicates for one in self.accounts),
            billed=_sum(one.billed for one in self.accounts),
        )


def read_figures(
    ledger: Ledger, ledger_path: Path, *, pending: int, seconds: float, providers: Path = PROVIDERS
) -> Figures:
    """The figures of all that is in the database and in the sandbox's ledger file.

    `pending` is the sandbox's own word, `seconds` the run's length; `providers` names the accounts.
    Raises OSError and ValueError for a ledger file that cannot be read.
    """
    accounts = load_capabilities(providers)
    books = balance(ledger, read_lines(ledger_path), echoing=_echoing(accounts))
    refusals = read_refusals(ledger_path)
    sms = account_for(Channel.SMS, accounts) or ""

    def figures(connection: Connection) -> Figures:
        return Figures(
            seconds=seconds,
            messages=totals.messages(connection),
            waiting=totals.waiting(connection),
            pending=pending,
            channels=tuple(_channels(connection)),
            median_to_reach=totals.median_to_reach(connection),
            sms_for_all=_sms_for_all(connection, ledger, sms),
            incidents=totals.incidents(connection),
            overlap_cost=totals.overlap_costs(connection).get(CURRENCY, ZERO),
            orphans=totals.orphans(connection),
            refusals=refusals,
            books=books,
            accounts=tuple(_accounts(books)),
        )

    return transaction(ledger.engine, figures)


def read_lines(path: Path) -> list[Line]:
    """What the sandbox delivered, from its ledger file.

    Raises OSError, and ValueError that names the line that cannot be read.
    """
    return [event for event in _events(path, _line) if event is not None]


def read_refusals(path: Path) -> dict[str, int]:
    """How often the sandbox refused a request, by account and code, the most frequent first."""
    refused = Counter(event for event in _events(path, _refusal) if event is not None)
    return dict(refused.most_common())


def _events(path: Path, read: Callable[[Mapping[str, Any]], Any]) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield read(json.loads(line))
            except (ArithmeticError, KeyError, TypeError, ValueError):
                # `from None`: the cause may quote the line, and the line holds a phone number.
                raise ValueError(f"{path.name}, line {number}: it cannot be read") from None


def _line(event: Mapping[str, Any]) -> Line | None:
    if event["event"] != "delivered":
        return None
    return Line(
        account=event["account"],
        ref=event["ref"],
        client_ref=event["client_ref"],
        recipient=event["recipient"],
        accepted_at=dt.datetime.fromisoformat(event["accepted_at"]),
        delivered_at=dt.datetime.fromisoformat(event["at"]),
        amount=None
        if event["amount"] is None
        else Amount(Decimal(event["amount"]), event["currency"]),
    )


def _refusal(event: Mapping[str, Any]) -> str | None:
    return f"{event['account']} {event['code']}" if event["event"] == "refused" else None


def _echoing(accounts: Accounts) -> frozenset[str]:
    return frozenset(
        account
        for account, (_, able) in accounts.items()
        if able.correlation is Correlation.CLIENT_REF
    )


def _channels(connection: Connection) -> Iterator[ChannelFigures]:
    outcomes, costs = totals.outcomes(connection), totals.costs(connection)
    medians = totals.medians(connection)
    for channel in Channel:
        if channel in outcomes:
            yield ChannelFigures(
                channel=channel,
                outcomes=outcomes[channel],
                cost=costs.get((channel, CURRENCY), ZERO),
                medians=medians.get(channel),
            )


def _sms_for_all(connection: Connection, ledger: Ledger, account: str) -> SmsForAll:
    rates = ledger.rates.book(connection)
    everyone: list[Decimal] = []
    reached: list[Decimal] = []
    unpriced = 0
    for message in totals.accepted(connection):
        price = _sms_price(ledger, rates, message, account)
        if price is None:
            unpriced += 1
            continue
        everyone.append(price)
        if message.state is MessageState.DELIVERED:
            reached.append(price)
    return SmsForAll(accepted=sum(everyone, ZERO), delivered=sum(reached, ZERO), unpriced=unpriced)


def _sms_price(
    ledger: Ledger, rates: RateBook, message: totals.Accepted, account: str
) -> Decimal | None:
    phone = open_recipient(ledger.keyring, message.message_id, message.recipient)
    rate = rates.rate_for(account=account, channel=Channel.SMS, phone=phone, at=message.created_at)
    if rate is None or rate.currency != CURRENCY:
        return None
    content = open_content(ledger.keyring, message.message_id, message.content)
    return charge(rate, units=rate.units(segments=segments(words_for(content, Channel.SMS)))).value


def _accounts(books: Books) -> Iterator[AccountBooks]:
    lines, entries = books.lines, books.entries
    names = {line.account for line in lines} | {entry.account for entry in entries}
    for account in sorted(names):
        yield AccountBooks(
            account=account,
            charged=_money(one.amount for one in entries if one.account == account),
            unattributable=_money(_amounts(account, (p.line for p in books.unattributable))),
            unheard=_money(_amounts(account, (p.line for p in books.unheard))),
            duplicates=_money(_amounts(account, (p.line for p in books.duplicates))),
            billed=_money(_amounts(account, lines)),
        )


def _amounts(account: str, lines: Iterable[Line]) -> Iterator[Amount | None]:
    return (line.amount for line in lines if line.account == account)


def _money(amounts: Iterable[Amount | None]) -> Sum:
    known = list(amounts)
    return Sum(len(known), total(known).get(CURRENCY, ZERO))


def _sum(sums: Iterable[Sum]) -> Sum:
    return sum(sums, Sum())
