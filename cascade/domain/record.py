"""A provider's record of what it delivered and bills: a CSV invoice, or JSON lines.

A CSV has a header with the names of `COLUMNS`, in any order, with commas or semicolons between
them; a header of other words is mapped by `Form.columns`. JSON lines have the same names; of lines
that name an `event`, as the sandbox's ledger does, only `delivered` is a bill, and its `at` is the
time of the delivery.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from zoneinfo import ZoneInfo

from cascade.domain.books import Line
from cascade.domain.errors import InvalidInputError, shown
from cascade.domain.money import Amount
from cascade.domain.phone import PhoneError, normalise


COLUMNS = (
    "account",
    "ref",
    "client_ref",
    "recipient",
    "recipient_hash",
    "accepted_at",
    "delivered_at",
    "amount",
    "currency",
)

JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")
SUFFIXES = (".csv", *JSON_SUFFIXES)

Hash = Callable[[str], str]
Values = Mapping[str, str]

_UTC = ZoneInfo("UTC")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_REF = re.compile(r"[!-~]{1,255}")
_HASH = re.compile(r"[0-9a-f]{64}")
_MONEY = re.compile(r"[0-9]{1,8}(\.[0-9]{1,6})?")  # numeric(14,6)
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a record is to be read.

    `columns`: foreign names by ours. `account`: of all lines that name none. `timezone`: of times
    without an offset. `hashed`: the keyed hash of an E.164 number, in hexadecimal.
    """

    hashed: Hash = field(repr=False)
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    account: str | None = None
    timezone: ZoneInfo = _UTC


def read_record(lines: Iterable[str], form: Form, *, source: str) -> Iterator[Line]:
    """The bills of a file, one by one, their recipients hashed; `source` is its name.

    Raises InvalidInputError naming file, line, field, problem and cure, and no number.
    """
    rows = _json_rows if source.endswith(JSON_SUFFIXES) else _csv_rows
    try:
        for number, values in rows(lines, form, source):
            yield _Reading(f"{source}, line {number}", values, form).line()
    except csv.Error as error:
        raise InvalidInputError(source, f"it is no CSV: {error}", "save it as CSV") from None


def _csv_rows(lines: Iterable[str], form: Form, source: str) -> Iterator[tuple[int, Values]]:
    given = iter(lines)
    header = next(given, "").removeprefix("\N{BYTE ORDER MARK}")
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(given, delimiter=delimiter)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    places = _places(names, form, source)
    for row in reader:
        if row:
            cells = {name: row[at].strip() for name, at in places.items() if at < len(row)}
            yield reader.line_num + 1, cells


def _places(names: list[str], form: Form, source: str) -> dict[str, int]:
    where = f"{source}, line 1"
    for ours, foreign in form.columns.items():
        if ours not in COLUMNS:
            raise InvalidInputError(
                "--column", f"{shown(ours)} is no column", f"use {', '.join(COLUMNS)}"
            )
        if foreign not in names:
            raise InvalidInputError(where, f"no column is for {ours}", "look at the header")
    places = {ours: form.columns.get(ours, ours) for ours in COLUMNS}
    found = {ours: names.index(foreign) for ours, foreign in places.items() if foreign in names}
    wanted = {"accepted_at", "amount", "currency"} | (set() if form.account else {"account"})
    for missing in sorted(wanted - set(found)):
        raise InvalidInputError(
            where, f"there is no column {missing}", f"name it, or map it: {missing}=<its name>"
        )
    return found


def _json_rows(lines: Iterable[str], form: Form, source: str) -> Iterator[tuple[int, Values]]:
    names = {ours: form.columns.get(ours, ours) for ours in COLUMNS}
    for number, text in enumerate(lines, 1):
        row = _json_row(text, f"{source}, line {number}") if text.strip() else None
        if row is None or row.get("event", "delivered") != "delivered":
            continue
        if "event" in row:
            row = {**row, names["delivered_at"]: row.get("at")}
        found = {ours: row.get(name) for ours, name in names.items()}
        yield number, {ours: str(value) for ours, value in found.items() if value is not None}


def _json_row(text: str, where: str) -> Mapping[str, object]:
    try:
        row = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        # Not from the error: it may quote the line, which holds a phone number.
        raise InvalidInputError(where, "it is no JSON object", "write one on each line")
    return row


@dataclass(frozen=True, slots=True)
class _Reading:
    where: str
    values: Values = field(repr=False)
    form: Form

    def line(self) -> Line:
        accepted_at = self._moment("accepted_at")
        return Line(
            account=self._account(),
            ref=self._reference("ref"),
            client_ref=self._reference("client_ref") or None,
            recipient=self._recipient(),
            accepted_at=accepted_at,
            delivered_at=self._moment("delivered_at")
            if self.values.get("delivered_at")
            else accepted_at,
            amount=self._amount(),
        )

    def _account(self) -> str:
        account = self.values.get("account") or self.form.account
        if not account or _REF.fullmatch(account) is None:
            raise self._refusal("account", "it is not given", "name it, or give --account")
        return account

    def _reference(self, name: str) -> str:
        given = self.values.get(name, "")
        if given and _REF.fullmatch(given) is None:
            raise self._refusal(name, "it is no reference", "write ASCII without spaces")
        return given

    def _recipient(self) -> str | None:
        """As a keyed hash, in hexadecimal."""
        given = self.values.get("recipient_hash", "").lower()
        if given:
            if _HASH.fullmatch(given) is None:
                raise self._refusal("recipient_hash", "it is no hash", "write 64 hex digits")
            return given
        phone = self.values.get("recipient", "")
        return self.form.hashed(self._e164(phone)) if phone else None

    def _e164(self, phone: str) -> str:
        written = f"+{phone}" if phone.isdecimal() and not phone.startswith(("0", "8")) else phone
        if _E164.fullmatch(written):
            return written
        try:
            return normalise(phone)
        except PhoneError:
            cure = "write it in full, with its country code"
            raise self._refusal("recipient", "it is no phone number", cure) from None

    def _moment(self, name: str) -> dt.datetime:
        try:
            moment = dt.datetime.fromisoformat(self.values.get(name, ""))
            aware = moment if moment.tzinfo else moment.replace(tzinfo=self.form.timezone)
            return aware.astimezone(dt.UTC)
        except (ValueError, OverflowError):
            cure = "write for example 2026-03-01T12:00:00+03:00"
            raise self._refusal(name, "it is no time", cure) from None

    def _amount(self) -> Amount | None:
        """None where the line names no price."""
        written = self.values.get("amount", "").replace(",", ".")
        if not written:
            return None
        currency = self.values.get("currency", "")
        if _MONEY.fullmatch(written) is None:
            raise self._refusal("amount", "it is no price", "write for example 1.20")
        if _CURRENCY.fullmatch(currency) is None:
            raise self._refusal("currency", "it is no currency", "write for example RUB")
        return Amount(Decimal(written), currency)

    def _refusal(self, name: str, problem: str, cure: str) -> InvalidInputError:
        return InvalidInputError(f"{self.where}, {name}", problem, cure)
