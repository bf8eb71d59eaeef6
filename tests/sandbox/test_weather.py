"""Bad weather: sends whose fate nobody can tell, and webhooks that go astray, by seed and phone."""

from __future__ import annotations

import contextlib
import itertools
import re

from pathlib import Path

import pytest
import requests

from cascade.sandbox.app import Sandbox
from cascade.sandbox.clock import Tempo
from cascade.sandbox.faults import Failure, Faults, Kind
from cascade.sandbox.ledger import Ledger
from cascade.sandbox.outcomes import Channel
from cascade.sandbox.weather import Forecast, Weather, read_forecast
from tests.sandbox.numbers import ambiguous_phone, faults_of, phones


PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
KINDS = {
    Kind.INTERNAL_SERVER_ERROR: 500,
    Kind.BAD_GATEWAY: 502,
    Kind.GATEWAY_TIMEOUT: 504,
    Kind.UNREADABLE: 200,
}


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize(("kind", "status"), KINDS.items())
def test_an_error_does_not_say_whether_the_send_was_accepted(
    sandbox_in, receiver, kind, status, accepted
):
    sandbox = sandbox_in(ambiguous=1)
    response = sandbox.sms(phones=ambiguous_phone(Channel.SMS, "smsc", kind, accepted=accepted))
    assert response.status_code == status
    with pytest.raises(requests.JSONDecodeError):
        response.json()
    sandbox.settle()
    (line,) = sandbox.of("ambiguous")
    assert (line["kind"], line["accepted"], line["client_ref"]) == (kind, accepted, "c" * 32)
    assert len(sandbox.of("delivered")) == int(accepted)
    assert len(receiver.heard) == 2 * accepted


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.SILENT])
def test_a_connection_that_ends_does_not_say_so_either(sandbox_in, kind, accepted):
    sandbox = sandbox_in(ambiguous=1)
    phone = ambiguous_phone(Channel.VK, "notify-vk", kind, accepted=accepted)
    with pytest.raises(requests.ConnectionError):
        sandbox.notify(phone=phone)
    sandbox.settle()
    (call,), (line,) = sandbox.of("called"), sandbox.of("ambiguous")
    assert (line["kind"], line["accepted"], call["accepted"]) == (kind, accepted, accepted)
    assert len(sandbox.of("accepted")) == len(sandbox.of("delivered")) == int(accepted)


def test_a_reset_is_a_reset_and_no_orderly_end(sandbox_in):
    sandbox = sandbox_in(ambiguous=1)
    phone = ambiguous_phone(Channel.VK, "notify-vk", Kind.RESET, accepted=True)
    with pytest.raises(requests.ConnectionError, match="Connection reset by peer"):
        sandbox.notify(phone=phone)


@pytest.mark.parametrize("accepted", [True, False])
def test_a_bulk_call_fares_as_its_first_message(sandbox_in, accepted):
    first = ambiguous_phone(Channel.VIBER, "devino-viber", Kind.BAD_GATEWAY, accepted=accepted)
    other = ambiguous_phone(Channel.VIBER, "devino-viber", Kind.RESET, accepted=not accepted)
    sandbox = sandbox_in(ambiguous=1)
    answer = sandbox.viber({"address": "12"}, {"address": first}, {"address": other})
    assert answer.status_code == 502
    assert [line["accepted"] for line in sandbox.of("ambiguous")] == [accepted] * 2
    assert [line["accepted"] for line in sandbox.of("called")] == [False, accepted, accepted]
    assert len(sandbox.of("accepted")) == 2 * accepted
    assert len(sandbox.of("refused")) == 1


def test_an_sms_that_was_not_accepted_may_be_sent_again_within_the_minute(sandbox_in):
    phone = ambiguous_phone(Channel.SMS, "smsc", Kind.BAD_GATEWAY, accepted=False)
    sandbox = sandbox_in(ambiguous=1)
    assert sandbox.sms(phones=phone).status_code == 502
    with contextlib.suppress(requests.ConnectionError):  # ambiguous again, yet no error 9
        sandbox.sms(phones=phone)
    assert sandbox.of("refused") == []


def test_eight_of_a_hundred_sends_are_ambiguous_and_half_of_these_accepted():
    faults = faults_of("smsc", ambiguous=0.08)
    drawn = [faults.ambiguity(f"+79{number:09}") for number in range(5000)]
    ambiguous = [one for one in drawn if one is not None]
    assert len(ambiguous) / 5000 == pytest.approx(0.08, abs=0.015)
    assert {one.kind for one in ambiguous} == set(Kind)
    share = sum(one.accepted for one in ambiguous) / len(ambiguous)
    assert share == pytest.approx(0.5, abs=0.1)


def test_what_is_drawn_depends_on_no_order():
    people = [f"+79{number:09}" for number in range(300)]
    stormy = {"ambiguous": 0.3, "early": 0.3, "lost": 0.3, "duplicated": 0.3, "late": 0.3}

    def drawn(people, *, seed=1):
        faults = Faults(Weather(**stormy, failing=0.3), seed=seed, account="smsc")
        return {
            phone: (
                [faults.ambiguity(phone) for _ in range(3)],
                faults.is_early(phone),
                faults.delays(phone, "sent"),
                faults.delays(phone, "delivered"),
                faults.failure(phone, "sent", (0, 1)),
            )
            for phone in people
        }

    assert drawn(people) == drawn(people[::-1])
    assert drawn(people) != drawn(people, seed=2)
    assert any(len(set(map(str, turns))) > 1 for turns, *_ in drawn(people).values())


def test_fair_weather_changes_nothing():
    faults = faults_of("smsc")
    for phone in itertools.islice(phones(Channel.SMS), 50):
        assert faults.ambiguity(phone) is None
        assert not faults.is_early(phone)
        assert faults.delays(phone, "sent") == (0.0,)
        assert faults.failure(phone, "sent", (0, 1)) is None


def test_receipts_of_an_early_one_come_before_its_answer(sandbox_in, receiver):
    sandbox = sandbox_in(early=1)
    heard = []
    sandbox.http.hooks["response"].append(lambda *_, **__: heard.extend(receiver.heard))
    sandbox.notify()
    assert sorted(call.json()["status"] for call in heard) == ["delivered", "sent"]


def test_a_webhook_that_is_lost_is_never_told_and_booked(sandbox_in, receiver):
    sandbox = sandbox_in(lost=1)
    sandbox.notify()
    sandbox.settle()
    assert receiver.heard == []
    assert sandbox.of("told") == []
    assert sorted(line["word"] for line in sandbox.of("unheard")) == ["delivered", "sent"]


def test_a_poll_knows_what_a_lost_webhook_would_have_told(sandbox_in):
    sandbox = sandbox_in(lost=1)
    sandbox.sms(id="ours")
    sandbox.settle()
    assert sandbox.sms("status", id="ours").json()["status"] == 1


def failing_phone(failure, *, then):
    """A number whose webhook of the delivery fails like that at first; the one of "sent" does not."""
    for phone in phones(Channel.VK):
        faults = faults_of("notify-vk", failing=0.5)
        turns = [faults.failure(f"+{phone}", "delivered", (0, turn)) for turn in (1, 2)]
        if turns == [failure, then] and not faults.failure(f"+{phone}", "sent", (0, 1)):
            return phone
    raise AssertionError(failure)


@pytest.mark.parametrize(("failure", "calls"), [(Failure.NOT_SENT, 1), (Failure.UNANSWERED, 2)])
def test_a_call_that_fails_on_the_providers_side_is_repeated(sandbox_in, receiver, failure, calls):
    sandbox = sandbox_in(failing=0.5)
    sandbox.notify(phone=failing_phone(failure, then=None))
    sandbox.settle()
    told = [call.json()["status"] for call in receiver.heard]
    assert sorted(told) == ["delivered"] * calls + ["sent"]
    assert sorted(line["word"] for line in sandbox.of("told")) == sorted(told)
    assert {line["status"] for line in sandbox.of("told")} == {200}


def test_what_was_heard_is_not_unheard_though_its_answers_were_thrown_away(sandbox_in, receiver):
    sandbox = sandbox_in(failing=1)
    sandbox.notify()
    sandbox.settle()
    heard = {line["word"] for line in sandbox.of("told")}
    assert heard
    assert {line["word"] for line in sandbox.of("unheard")} == {"sent", "delivered"} - heard


def test_a_duplicated_webhook_comes_twice(sandbox_in, receiver):
    sandbox = sandbox_in(duplicated=1)
    sandbox.notify()
    sandbox.settle()
    told = sorted(call.json()["status"] for call in receiver.heard)
    assert told == ["delivered", "delivered", "sent", "sent"]


def test_late_webhooks_are_pending_until_they_are_told(sandbox_in, receiver):
    sandbox = sandbox_in(late=1)
    sandbox.notify()
    sandbox.settle()
    delivered = next(line for line in sandbox.of("told") if line["word"] == "delivered")
    assert len(receiver.heard) == 2
    assert delivered["at"] > sandbox.of("delivered")[0]["at"]


@pytest.mark.parametrize(
    ("share", "shortest", "longest"), [("shuffled", 0.1, 2.0), ("late", 2.0, 30.0)]
)
def test_shuffled_is_a_moment_and_late_up_to_half_a_minute(share, shortest, longest):
    faults = faults_of("smsc", **{share: 1})
    delays = [faults.delays(phone, "sent")[0] for phone in phones(Channel.SMS)]
    assert shortest <= min(delays) < shortest * 2
    assert longest / 2 < max(delays) <= longest


def forecast(tmp_path, text):
    path = tmp_path / "weather.toml"
    path.write_text(text, "utf-8")
    return read_forecast(path)


def test_the_weather_of_the_page_is_read_and_an_account_may_have_its_own(tmp_path):
    example = re.search(r"```toml\n(ambiguous .+?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert example
    weather = forecast(tmp_path, example[1])
    assert (weather.at("notify-vk").ambiguous, weather.at("smsc").ambiguous) == (0.08, 0.02)
    assert weather.at("notify-vk").failing == weather.at("smsc").failing == 0.10


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lost = 1.5", "lost must be a share between 0 and 1"),
        ("lost = -0.1", "lost must be a share between 0 and 1"),
        ('lost = "often"', "lost must be a share between 0 and 1"),
        ("[smsc]\nlost = 2", "lost must be a share between 0 and 1"),
        ("shuffled = 0.6\nlate = 0.6", "not make more than 1 together"),
        ("rain = 0.1", "rain.+the shares are ambiguous, early, failing"),
    ],
)
def test_a_weather_that_cannot_be_is_refused_by_name(tmp_path, text, problem):
    with pytest.raises(ValueError, match=problem):
        forecast(tmp_path, text)


def test_the_weather_of_an_account_nobody_has_is_refused(tmp_path):
    with pytest.raises(ValueError, match="weather at fax"):
        Sandbox(
            {},
            ledger=Ledger(tmp_path / "ledger.jsonl"),
            seed=1,
            tempo=Tempo(),
            forecast=Forecast(accounts={"fax": Weather()}),
        )
