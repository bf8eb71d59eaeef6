from __future__ import annotations

import contextlib
import datetime as dt
import json

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from hypothesis import given, strategies as st

from cascade.domain.books import Line
from cascade.domain.errors import InvalidInputError
from cascade.domain.money import Amount
from cascade.domain.record import COLUMNS, Form, read_record


ANNA = "+79160000001"
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def hashed(phone: str) -> str:
    return f"{phone.removeprefix('+'):0>64}"


FORM = Form(hashed=hashed)

LINE = Line(
    account="smsc",
    ref="p1",
    client_ref="c1",
    recipient=hashed(ANNA),
    accepted_at=NOON,
    delivered_at=NOON + dt.timedelta(seconds=5),
    amount=Amount(Decimal("1.20"), "RUB"),
)

INVOICE = f"""\
account,ref,client_ref,recipient,accepted_at,delivered_at,amount,currency
smsc,p1,c1,{ANNA},2026-03-01T15:00:00+03:00,2026-03-01T12:00:05Z,1.20,RUB
"""


def read(text: str, form: Form = FORM, source: str = "march.csv") -> list[Line]:
    return list(read_record(text.splitlines(keepends=True), form, source=source))


def test_an_invoice_is_read_line_by_line():
    assert read(INVOICE) == [LINE]


def test_a_table_of_a_spreadsheet_is_read_too():
    text = (
        "\N{BYTE ORDER MARK}amount;currency;recipient;accepted_at;delivered_at;ref;client_ref\r\n"
        "1,20;RUB;79160000001;2026-03-01 15:00:00;2026-03-01 15:00:05;p1;c1\r\n"
    )
    form = Form(hashed=hashed, account="smsc", timezone=ZoneInfo("Europe/Moscow"))
    assert read(text, form) == [LINE]


def test_columns_of_other_names_are_mapped():
    text = INVOICE.replace("recipient", "Телефон").replace("amount", "Сумма")
    form = Form(hashed=hashed, columns={"recipient": "Телефон", "amount": "Сумма"})
    assert read(text, form) == [LINE]


def test_what_a_record_may_leave_out():
    [line] = read("account,accepted_at,amount,currency\nsmsc,2026-03-01T12:00Z,,\n")
    assert (line.ref, line.client_ref, line.recipient, line.amount) == ("", None, None, None)
    assert line.delivered_at == line.accepted_at == NOON


def test_a_recipient_may_be_a_hash():
    [line] = read(INVOICE.replace("recipient,", "recipient_hash,").replace(ANNA, hashed(ANNA)))
    assert line == LINE


def test_of_a_sandboxs_ledger_only_deliveries_are_bills():
    common = {
        "account": "smsc",
        "ref": "p1",
        "client_ref": "c1",
        "recipient": ANNA,
        "accepted_at": "2026-03-01T12:00:00+00:00",
        "currency": "RUB",
    }
    events = [
        {**common, "event": "accepted", "at": "2026-03-01T12:00:00+00:00", "amount": None},
        {**common, "event": "delivered", "at": "2026-03-01T12:00:05+00:00", "amount": "1.20"},
        {**common, "event": "refused", "accepted_at": None},
    ]
    assert read("\n".join(map(json.dumps, events)), source="ledger.jsonl") == [LINE]


@pytest.mark.parametrize(
    ("old", "new", "where", "cure"),
    [
        ("smsc", "", "march.csv, line 2, account", "--account"),
        ("2026-03-01T15", "yesterday", "march.csv, line 2, accepted_at", "2026-03-01T12"),
        ("2026-03-01T15", "0001-01-01T00", "march.csv, line 2, accepted_at", "2026-03-01T12"),
        ("1.20", "1.2345678", "march.csv, line 2, amount", "1.20"),
        ("1.20", "-1.20", "march.csv, line 2, amount", "1.20"),
        ("RUB", "roubles", "march.csv, line 2, currency", "RUB"),
        (ANNA, "+7916", "march.csv, line 2, recipient", "country code"),
        ("p1", "a b", "march.csv, line 2, ref", "ASCII"),
        ("currency", "money", "march.csv, line 1", "currency=<its name>"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place_and_cure(
    old: str, new: str, where: str, cure: str
):
    with pytest.raises(InvalidInputError) as told:
        read(INVOICE.replace(old, new, 1))
    assert told.value.field == where
    assert cure in str(told.value)
    assert ANNA not in str(told.value)


@pytest.mark.parametrize("text", ["[1]", "no json", '{"account": ', "[" * 100_000])
def test_what_is_no_json_object_is_refused_without_a_word_of_it(text: str):
    with pytest.raises(InvalidInputError) as told:
        read(f'{text}"{ANNA}"', source="ledger.jsonl")
    assert ANNA not in str(told.value)


def test_a_mapping_of_no_column_is_refused():
    with pytest.raises(InvalidInputError, match="--column"):
        read(INVOICE, Form(hashed=hashed, columns={"price": "amount"}))


@given(st.text(max_size=60), st.sampled_from(["march.csv", "ledger.jsonl"]))
def test_whatever_stands_in_a_file_is_read_or_refused_in_words(text: str, source: str):
    header = ",".join(COLUMNS) + "\n" if source.endswith("csv") else ""
    with contextlib.suppress(InvalidInputError):
        read(header + text, source=source)
