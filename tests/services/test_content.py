from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from cascade.domain.errors import InvalidInputError
from cascade.domain.message import Content, Template, body_for
from cascade.domain.state import Channel
from cascade.services.sealed import open_content
from cascade.storage.claim import Claimed
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


def content_of(journey: Journey, claimed: Claimed) -> Content:
    return open_content(journey.ledger.keyring, claimed.message_id, claimed.content)


def test_each_row_is_told_in_its_own_language(journey: Journey):
    report = journey.cascade.send_many(
        [
            {"to": "+79161234567", "language": "ru", "variables": {"n": "7"}},
            {"to": "+491701234567", "language": "de", "variables": {"n": "8"}},
        ],
        text={"ru": "Заказ #n# собран", "de": "Bestellung #n# ist fertig"},
        templates={"whatsapp": Template("ready", parameters={"1": "#n#"})},
    )

    assert report.errors == []
    contents = [content_of(journey, one) for i in report.ids if i for one in journey.claim(i)]
    assert [content.text for content in contents] == [
        "Заказ #n# собран",
        "Bestellung #n# ist fertig",
    ]
    assert [body_for(content, "whatsapp") for content in contents] == [
        Template("ready", "ru", {"1": "7"}),
        Template("ready", "de", {"1": "8"}),
    ]


def test_what_is_no_plain_dict_or_str_is_sent_like_one(journey: Journey):
    message_id = journey.send(
        text="#n#",
        texts={Channel.SMS: "№ #n#"},
        templates={Channel.WHATSAPP: Template("ready", "ru", MappingProxyType({"1": "#n#"}))},
        variables=MappingProxyType({"n": "7"}),
        key="order-1",
    )

    [claimed] = journey.claim(message_id)
    assert content_of(journey, claimed) == Content(
        text="#n#",
        texts={"sms": "№ #n#"},
        variables={"n": "7"},
        templates={"whatsapp": Template("ready", "ru", {"1": "#n#"})},
    )


def test_a_template_keeps_the_language_that_it_was_given(journey: Journey):
    message_id = journey.send(
        language="de", text="…", templates={"whatsapp": Template("ready", "en")}
    )

    [claimed] = journey.claim(message_id)
    assert content_of(journey, claimed).templates["whatsapp"].language == "en"


def test_a_variable_may_be_used_by_one_channel_alone(journey: Journey):
    message_id = journey.send(
        text="Ваш заказ собран", texts={"sms": "Заказ #n#"}, variables={"n": "7"}
    )

    [claimed] = journey.claim(message_id)
    assert content_of(journey, claimed).texts == {"sms": "Заказ #n#"}


def test_a_variable_that_no_text_uses_stops_its_row_and_no_other(journey: Journey):
    report = journey.cascade.send_many(
        [
            {"to": "+79161234567", "variables": {"n": "7", "m": "8"}},
            {"to": "+79161234567", "variables": {"n": "7"}},
        ],
        text="Заказ #n#",
    )

    [refused] = report.errors
    assert (refused.row, refused.error.field) == (1, "variables['m']")
    assert report.accepted == 1


def test_the_errors_text_does_not_repeat_what_looks_like_a_number(journey: Journey):
    with pytest.raises(InvalidInputError) as error:
        journey.send(variables={"79161234567": "x"})
    assert "9161234567" not in str(error.value)


def test_a_progress_callback_hears_of_every_set(journey: Journey):
    heard: list[tuple[int, int]] = []

    journey.cascade.send_many(
        [{"to": "+79161234567"}] * 2500,
        text="Заказ собран",
        progress=lambda report: heard.append((len(report.ids), report.accepted)),
    )

    assert heard == [(1000, 1000), (2000, 2000), (2500, 2500)]


def test_rows_that_were_sent_before_are_counted(journey: Journey):
    rows = [{"to": "+79161234567", "key": str(n)} for n in range(3)]
    journey.cascade.send_many(rows[:2], text="Заказ собран")  # type: ignore[arg-type]

    report = journey.cascade.send_many(rows, text="Заказ собран")  # type: ignore[arg-type]

    assert (report.accepted, report.repeated) == (3, 2)


NO_ROWS: list[Any] = [
    "+79161234567",
    {"to": "+79161234567", "variables": ["a"]},
    {"to": "+79161234567", "sendat": "2090-01-01T00:00:00Z"},
    {"to": None},
    {"to": "+79161234567", "send_at": "2090-01-01T00:00:00Z"},
]


def test_a_row_of_the_wrong_kind_stops_nobody(journey: Journey):
    report = journey.cascade.send_many([*NO_ROWS, {"to": "+79161234567"}], text="Заказ собран")

    assert [one.error.field for one in report.errors] == [
        "row",
        "variables",
        "row, 'sendat'",
        "to",
        "send_at",
    ]
    assert report.accepted == 1


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("variables", {"variables": ["a"]}),
        ("texts", {"texts": ["a"]}),
        ("on_status", {"on_status": "shop.on_status"}),
        ("session", {"session": "x"}),
        ("templates['sms']", {"templates": {"sms": Template("ready", "ru")}}),
        ("policy, step 1, ttl", {"policy": [{"channel": "sms", "ttl": 60}]}),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_words(
    journey: Journey, field: str, asked: dict[str, Any]
):
    with pytest.raises(InvalidInputError) as error:
        journey.send(**asked)
    assert error.value.field == field


def test_an_id_may_be_text_and_must_be_one(journey: Journey):
    message_id = journey.send()

    assert journey.cascade.status(str(message_id)).id == message_id
    for ask in (journey.cascade.status, journey.cascade.cancel):
        with pytest.raises(InvalidInputError, match="message_id"):
            ask("no id")
    assert journey.cascade.cancel(message_id.hex)
