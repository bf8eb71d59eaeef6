"""Comparing our books with themselves and with providers' records. It changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine

from cascade.channels.base import Correlation
from cascade.channels.cloud import reference
from cascade.channels.registry import load_capabilities
from cascade.domain.books import Entry, Line, Silent, Unconfirmed, compare, window
from cascade.domain.discrepancy import Discrepancy, Kind, discrepancies
from cascade.domain.errors import InvalidInputError
from cascade.domain.record import SUFFIXES, Form, read_record
from cascade.storage.database import transaction
from cascade.storage.reconciling import Compared, Facts, Period, SetAside, compare_in_database
from cascade.storage.sealing import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is compared: the attempts called within `period`, with the lines accepted in it.

    Without a period it is that of the records. `is_whole`: a record has a line for every delivery
    of its accounts in the period, not only from its first line to its last one. `echoing` are the
    accounts whose receipts carry our reference.
    """

    period: Period | None
    records: tuple[Path, ...] = ()
    form: Form
    is_whole: bool = True
    echoing: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What was found; `lines` and `agreed` are counts of the records' lines in the period."""

    period: Period
    lines: int
    outside: int  # lines before or after it, which were not compared
    agreed: int  # lines with one attempt of ours, and the same amount
    found: tuple[Discrepancy, ...] = field(repr=False)
    last_correction: int  # of those that were taken in

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many were found of each kind, all kinds named."""
        counted = Counter(one.kind for one in self.found)
        return {kind.value: counted[kind] for kind in Kind}


def reconcile(engine: Engine, question: Question) -> Reconciled:
    """Finds all that does not agree. Raises InvalidInputError for a record that cannot be read."""
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    compared = transaction(
        snapshot,
        lambda connection: compare_in_database(
            connection,
            _lines(question),
            period=question.period,
            is_whole=question.is_whole,
            echoing=question.echoing,
        ),
    )
    return Reconciled(
        period=compared.period,
        lines=compared.lines,
        outside=compared.outside,
        agreed=compared.agreed,
        found=tuple(_found(compared, question.echoing)),
        last_correction=compared.last_correction,
    )


def hashed_by(keyring: Keyring) -> Callable[[str], str]:
    """The hash of an E.164 number, as `Form` wants it."""
    return lambda phone: keyring.hash(phone.encode()).hex()


def echoing_accounts(config_dir: Path) -> frozenset[str]:
    """The accounts whose receipts carry our reference; raises ConfigurationError."""
    able = load_capabilities(config_dir / "providers.toml")
    return frozenset(
        account
        for account, (_, capabilities) in able.items()
        if capabilities.correlation is Correlation.CLIENT_REF
    )


def records_in(directory: Path) -> tuple[Path, ...]:
    """The record files of a directory, by name; raises InvalidInputError."""
    try:
        found = [one for one in directory.iterdir() if one.suffix in SUFFIXES]
    except OSError as error:
        raise InvalidInputError(
            str(directory), f"it cannot be read: {error.strerror}", "name a directory of records"
        ) from None
    return tuple(sorted(found))


def _lines(question: Question) -> Iterator[Line]:
    for path in question.records:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for line in read_record(file, question.form, source=path.name):
                    yield replace(line, ref=_kept(line.ref))
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or "it is not UTF-8"
            raise InvalidInputError(
                path.name, f"it cannot be read: {said}", "save it as UTF-8, where it can be read"
            ) from None


def _kept(ref: str) -> str:
    """A provider's reference as it stands in the books: WhatsApp's hold phone numbers."""
    return reference(ref) if ref.startswith("wamid.") else ref


def _found(compared: Compared, echoing: Collection[str]) -> Iterator[Discrepancy]:
    facts = compared.posted.values()
    entries = [one for one in facts if _is_known(one) and not one.posted.is_agreed]
    others = [one for one in facts if one.was_called and not _is_known(one)]
    books = compare(
        map(_entry, entries),
        compared.unpaired,
        silent=[_silent(one) for one in others if _is_silent(one, echoing)],
        unconfirmed=map(_unconfirmed, others),
        echoing=echoing,
    )
    for one in discrepancies((one.posted for one in facts), books):
        if compared.period.since <= one.at < compared.period.until:
            yield one
    yield from map(_set_aside, compared.set_aside)


def _is_known(one: Facts) -> bool:
    """Whether anything in our books says that it was delivered."""
    return one.posted.is_delivered or one.posted.is_told or one.posted.is_charged


def _is_silent(one: Facts, echoing: Collection[str]) -> bool:
    """Whether nobody knows what became of the call, and no receipt can ever tell."""
    is_ambiguous = one.unknown_at is not None and not one.provider_refs
    return is_ambiguous and one.posted.account not in echoing


def _entry(one: Facts) -> Entry:
    booked = one.posted.booked
    return Entry(
        attempt_id=one.posted.attempt_id,
        account=one.posted.account,
        client_ref=one.posted.client_ref,
        provider_refs=one.provider_refs,
        recipient=one.recipient_hash,
        started_at=one.posted.called_at,
        amount=booked[0] if len(booked) == 1 else None,
        call=window(one.posted.called_at, one.answered_at),
    )


def _unconfirmed(one: Facts) -> Unconfirmed:
    return Unconfirmed(
        attempt_id=one.posted.attempt_id,
        account=one.posted.account,
        client_ref=one.posted.client_ref,
        provider_refs=one.provider_refs,
        recipient=one.recipient_hash,
        started_at=one.posted.called_at,
        call=window(one.posted.called_at, one.answered_at),
    )


def _silent(one: Facts) -> Silent:
    call = window(one.posted.called_at, one.unknown_at)
    return Silent(
        attempt_id=one.posted.attempt_id,
        account=one.posted.account,
        recipient=one.recipient_hash,
        called_from=call.begin,
        called_until=call.end,
    )


def _set_aside(one: SetAside) -> Discrepancy:
    return Discrepancy(
        kind=Kind.RECEIPT_SET_ASIDE, account=one.account, at=one.received_at, ref=one.ref
    )
