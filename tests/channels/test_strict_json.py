from __future__ import annotations

import pytest

from pydantic import BaseModel

from cascade.channels.strict_json import DEPTH, DIGITS, loads, readable


def nested(levels: int, one: bytes, end: bytes) -> bytes:
    return one * levels + b"0" + end * levels


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"failed","status":"delivered"}',
        b'{"a":{"status":1,"\\u0073tatus":2}}',
        b'{"at":NaN}',
        b'{"at":-Infinity}',
        b'{"at":1e400}',
        b"1" * (DIGITS + 1),
        b"0." + b"1" * DIGITS,
        b"1" * 5000,
        nested(DEPTH + 1, b"[", b"]"),
        nested(DEPTH + 1, b'{"a":', b"}"),
        b"[" * 100_000,
        b"",
        b"\xff\xfe\xfd",
        '{"a":1}'.encode("utf-16"),
    ],
    ids=range(14),
)
def test_what_json_lets_through_silently_is_refused(body: bytes):
    with pytest.raises(ValueError):  # noqa: PT011  # any kind of it
        loads(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"3158611117333282817", 3158611117333282817),  # beyond 2^53
        (b"-" + b"1" * DIGITS, -int("1" * DIGITS)),
        (b"2.2250738585072014e-308", 2.2250738585072014e-308),  # no float has more digits
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":"\x00"}', {"a": "\x00"}),
        (b'{"a":"\\u0000\\ud800"}', {"a": "\x00\ud800"}),
        (b'{"a":"\xc0\xaf","b":1}', {"a": "\ufffd\ufffd", "b": 1}),  # overlong
        (b'{"a":"\xed\xa0\x80"}', {"a": "\ufffd\ufffd\ufffd"}),  # half a pair, in bytes
    ],
    ids=range(8),
)
def test_what_is_only_strange_is_read(body: bytes, value: object):
    assert loads(body) == value


def test_the_deepest_that_is_allowed_is_read():
    loads(nested(DEPTH, b"[", b"]"))
    loads(nested(DEPTH, b'{"a":', b"}"))


class Row(BaseModel):
    id: int


def test_a_bad_row_costs_itself_only_and_is_told_without_its_words(
    caplog: pytest.LogCaptureFixture,
):
    assert readable(Row, [{"id": 1}, {"id": "canary"}, None, {"id": 2}]) == [Row(id=1), Row(id=2)]
    assert caplog.messages == ["2 of 4 rows cannot be read"]


@pytest.mark.parametrize("values", [None, {}, "rows", [{}], [None, 7]])
def test_what_holds_no_row_at_all_is_refused(values: object):
    with pytest.raises(ValueError):  # noqa: PT011  # any kind of it
        readable(Row, values)
