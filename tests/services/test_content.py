from __future__ import annotations

import pytest

from cascade.domain.errors import InvalidInputError
from cascade.domain.message import Content, Template, body_for
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
