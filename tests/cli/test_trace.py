from __future__ import annotations

import datetime as dt
import json
import re
import uuid

from collections.abc import Callable

import pytest

from cascade.channels.base import (
    Accepted,
    Receipt,
    Rejected,
    Throttled,
    Undeliverable,
    Unknown,
    Unsupported,
)
from cascade.domain.state import AttemptState, Channel, Success
from tests.cli.conftest import Run
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration


@pytest.fixture
def words(run: Run):
    """The timeline of a message as (channel, words), without the acceptance."""

    def told(message_id: uuid.UUID) -> list[tuple[str | None, str]]:
        lines = json.loads(run("trace", message_id, "--json").stdout)["timeline"]
        assert lines[0]["words"].startswith("accepted")
        return [(line["channel"], line["words"]) for line in lines[1:]]

    return told


@pytest.fixture
def summary(run: Run) -> Callable[[uuid.UUID], str]:
    return lambda message_id: run("trace", message_id).stdout.splitlines()[-1]


def hear_native(
    journey: Journey, message_id: uuid.UUID, state: AttemptState, native: str, code: str = ""
) -> None:
    one = journey.attempt(message_id)
    receipt = Receipt(
        status=state, native_status=native, native_code=code, client_ref=one.client_ref
    )
    journey.hear(one.account, receipt)
    journey.collect()


def give_up(journey: Journey, message_id: uuid.UUID) -> None:
    """As a deliverer does where the account's rate leaves no time for the call."""
    ids = [journey.attempt(message_id).id]
    journey.ledger.store.transaction(lambda t: t.give_up(ids))
    journey.tick()


def now(journey: Journey) -> dt.datetime:
    return journey.row("SELECT cascade.clock()")[0]


def fall_to_sms(journey: Journey) -> uuid.UUID:
    """VK has no time left, OK and Viber say no, WhatsApp gives up, SMS delivers."""
    message_id = journey.send(sender="shop")
    journey.advance(0.4)
    journey.call(message_id, Accepted())
    journey.advance(17.5)
    journey.tick()
    journey.call(message_id, Unsupported("UNSUPPORTED"))
    journey.call(message_id, Accepted(("17",)))
    journey.advance(3)
    hear_native(journey, message_id, AttemptState.UNSUPPORTED, "undelivered", "not-viber-user")
    journey.call(message_id, Accepted(("wamid.1",)))
    hear_native(journey, message_id, AttemptState.SENT, "sent")
    journey.advance(20)
    hear_native(journey, message_id, AttemptState.UNDELIVERABLE, "failed", "131049")
    journey.call(message_id, Accepted(("4711",)))
    journey.advance(4)
    hear_native(journey, message_id, AttemptState.DELIVERED, "1")
    return message_id


def test_a_trace_tells_the_whole_way_down_to_sms(journey: Journey, words, summary):
    message_id = fall_to_sms(journey)

    assert words(message_id) == [
        ("vk", "notify-vk is called"),
        ("vk", "notify-vk has taken it"),
        ("vk", "not delivered within its 15 s: expired, so ok was next"),
        ("ok", "notify-ok is called"),
        ("ok", "'UNSUPPORTED': not a user of this channel, so viber was next"),
        ("viber", "devino-viber is called"),
        ("viber", "devino-viber has taken it"),
        (
            "viber",
            "'undelivered' (not-viber-user): not a user of this channel, so whatsapp was next",
        ),
        ("whatsapp", "cloud-whatsapp is called"),
        ("whatsapp", "cloud-whatsapp has taken it"),
        ("whatsapp", "'sent': on its way"),
        ("whatsapp", "'failed' (131049): cannot be delivered, so sms was next"),
        ("sms", "smsc is called"),
        ("sms", "smsc has taken it"),
        ("sms", "'1': delivered; charged 2.00 RUB"),
    ]
    assert re.fullmatch(
        r"delivered over sms after 4[4-9]\.\d s; 5 channels called; cost 2\.00 RUB",
        summary(message_id),
    )


def test_times_are_counted_from_the_acceptance_and_given_whole(journey: Journey, run: Run):
    message_id = journey.send(sender="shop")
    journey.advance(0.4)
    journey.call(message_id, Unsupported("no"))

    shown = run("trace", message_id).stdout.splitlines()

    accepted = journey.message(message_id).created_at
    assert shown[0].startswith(
        f"message {message_id} from sender shop, priority normal, policy default, version 1,"
    )
    assert f"accepted {accepted:%Y-%m-%d %H:%M:%S}" in shown[0]
    assert shown[1].split()[:2] == ["+0", "s"]
    started = journey.attempt(message_id, 0).started_at.isoformat(" ", "milliseconds")
    assert re.match(r" *\+[0-9.]+ s  ", shown[2])
    assert started.removesuffix("+00:00") in shown[2]


def test_neither_the_number_nor_the_words_are_shown(journey: Journey, run: Run):
    message_id = fall_to_sms(journey)

    shown = run("trace", message_id).stdout + run("status", message_id, "--json").stdout

    assert PHONE[2:] not in shown
    assert WORDS not in shown


def test_an_ambiguous_call_is_told_with_what_nobody_knows(journey: Journey, words):
    message_id = journey.send()
    journey.call(message_id, Unknown("ReadTimeout"))
    _, unclear, waits = (line for _, line in words(message_id))
    assert unclear == (
        "no clear answer ('ReadTimeout'): nobody knows whether it was taken, so it is not sent"
        " again"
    )
    assert waits.startswith("waits for a receipt, until 20")

    journey.advance(60)
    journey.tick()

    assert words(message_id)[2] == ("vk", "no receipt within its 15 s: expired, so ok was next")


def test_a_lost_worker_is_told_as_such(journey: Journey, words):
    message_id = journey.send()
    journey.claim(message_id)
    journey.advance(10)
    journey.tick()

    assert words(message_id)[1][1].startswith("the worker was lost during the call")


def test_what_was_never_taken_says_what_the_provider_answered(journey: Journey, words):
    message_id = journey.send()
    journey.call(message_id, Throttled("THROTTLED", 60))
    assert words(message_id)[-1] == (
        "vk",
        "will be called again: it was not taken ('THROTTLED')",
    )

    journey.advance(60)
    journey.tick()

    assert words(message_id)[:2] == [
        ("vk", "notify-vk is called"),
        ("vk", "not taken within its 15 s ('THROTTLED'): expired, so ok was next"),
    ]


def test_a_second_try_is_counted(journey: Journey, words):
    message_id = journey.send()
    journey.call(message_id, Throttled("THROTTLED", 1))
    journey.advance(4)
    journey.tick()
    journey.call(message_id, Accepted())

    assert words(message_id)[0] == ("vk", "notify-vk is called, 2 times in all")


def test_a_step_that_waited_too_long_is_told_as_never_sent(journey: Journey, words, summary):
    journey.policy(a_step(Channel.VK, max_wait=20))
    message_id = journey.send()
    assert words(message_id)[0][1].startswith("waits for a worker, until 20")

    journey.advance(20)
    journey.tick()

    assert words(message_id) == [
        ("vk", "not sent within 20 s of waiting: expired, and no step was left")
    ]
    assert re.fullmatch(
        r"undelivered after 2\d\.\d s; 0 channels called; cost nothing", summary(message_id)
    )


def test_a_step_that_a_rate_left_no_time_for_is_told_so(journey: Journey, words):
    journey.policy(a_step(Channel.VK), a_step(Channel.SMS))
    message_id = journey.send()
    give_up(journey, message_id)

    assert words(message_id)[0] == (
        "vk",
        "not sent: by the rate of notify-vk its turn would have come too late, so sms was next",
    )


def test_a_step_without_time_before_the_deadline_is_skipped(journey: Journey, words, summary):
    journey.policy(a_step(Channel.VK), a_step(Channel.VIBER, ttl_minimum=30), a_step(Channel.SMS))
    message_id = journey.send(deadline=now(journey) + dt.timedelta(seconds=20))
    journey.call(message_id, Rejected("BLOCKED"))
    journey.call(message_id, Undeliverable("8"))

    assert words(message_id)[1:] == [
        ("vk", "'BLOCKED': refused, which is ours to mend, so viber was next"),
        ("viber", "skipped: too little time is left before the deadline, so sms was next"),
        ("sms", "smsc is called"),
        ("sms", "'8': cannot be delivered, and no step was left"),
    ]
    assert summary(message_id).endswith("2 channels called; cost nothing")


def test_a_cancelled_message_is_told_with_what_was_not_sent(journey: Journey, words, summary):
    message_id = journey.send()
    journey.advance(3)
    journey.cascade.cancel(message_id)

    assert set(words(message_id)) == {
        (None, "cancelled by its caller"),
        ("vk", "not sent: the message was cancelled"),
    }
    assert re.fullmatch(
        r"cancelled after [3-9]\.\d s; 0 channels called; cost nothing", summary(message_id)
    )


def test_a_delivery_after_a_cancellation_is_charged_and_says_so(journey: Journey, words):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.cascade.cancel(message_id)
    journey.advance(1)
    journey.deliver(message_id)

    assert words(message_id)[-1] == (
        "vk",
        "'delivered': delivered; charged 0.30 RUB; the message stays cancelled",
    )


def test_a_late_delivery_calls_off_the_next_step(journey: Journey, words, summary):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(20)
    journey.tick()
    journey.advance(5)
    journey.deliver(message_id, step=0)

    late = words(message_id)[-2:]
    assert late[0][0] == "vk"
    assert re.fullmatch(
        r"'delivered': delivered; charged 0\.30 RUB; late, [5-9]\.\d s after its step had ended",
        late[0][1],
    )
    assert late[1] == ("ok", "not sent: the message was delivered over vk")
    assert summary(message_id).startswith("delivered over vk after 2")


def test_two_deliveries_are_told_as_twice(journey: Journey, words, summary):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(20)
    journey.tick()
    journey.call(message_id, Accepted())
    journey.deliver(message_id, step=1)
    journey.advance(2)
    journey.deliver(message_id, step=0)

    channel, last = words(message_id)[-1]
    assert channel == "vk"
    assert last.endswith("; the person has it twice, since ok had delivered it")
    assert summary(message_id).endswith("cost 0.60 RUB")


def test_a_delivery_after_the_end_promotes_the_message(journey: Journey, words, summary):
    journey.policy(a_step(Channel.VK))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(70)
    journey.tick()
    assert words(message_id)[-1][1].endswith(": expired, and no step was left")
    journey.advance(105)
    journey.deliver(message_id)

    assert words(message_id)[-1][1].endswith("; the message counts as delivered after all")
    assert summary(message_id).startswith("delivered over vk after 2 min 5")


def test_a_step_that_asks_for_read_moves_on_when_nobody_reads(journey: Journey, words, summary):
    journey.policy(a_step(Channel.VK, ttl=3600, success=Success.READ), a_step(Channel.SMS, ttl=60))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.deliver(message_id)
    assert words(message_id)[2] == (
        "vk",
        "'delivered': delivered; charged 0.30 RUB; the step asks for read",
    )
    assert words(message_id)[3][1].startswith("waits to be read, until 20")

    journey.advance(3605)
    journey.tick()
    assert words(message_id)[3] == ("vk", "not read within its 60 min, so sms was next")
    journey.call(message_id, Unsupported("x"))
    assert "though not read as its policy asks; 2 channels called" in summary(message_id)


def test_a_read_receipt_is_told_beside_the_delivery(journey: Journey, words):
    journey.policy(a_step(Channel.VK, success=Success.READ))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.deliver(message_id)
    journey.hear_of(message_id, AttemptState.READ)
    journey.collect()

    assert words(message_id)[-1] == ("vk", "'read': read")


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (
            "INCORRECT_SIGNATURE",
            "mend the account's client secret, or this machine's clock by NTP",
        ),
        ("NOT_ALLOWED_IP", "have the provider add it"),
        ("UNSUPPORTED_TEMPLATE", "compare them letter by letter"),
        ("131047", 'give templates={"whatsapp": …}'),
    ],
)
def test_a_refusal_that_is_met_often_is_told_with_its_cure(
    journey: Journey, words, code: str, cure: str
):
    message_id = journey.send()
    journey.call(message_id, Rejected(code))

    assert words(message_id)[1][1].startswith(f"'{code}': ")
    assert f"{cure}, so ok was next" in words(message_id)[1][1]


def test_a_cure_is_told_for_a_receipt_too(journey: Journey, words):
    journey.policy(a_step(Channel.WHATSAPP), a_step(Channel.SMS))
    message_id = journey.send()
    journey.call(message_id, Accepted(("wamid.1",)))
    hear_native(journey, message_id, AttemptState.REJECTED, "failed", "131047")

    assert words(message_id)[2][1] == (
        "'failed' (131047): a text outside of the 24 hours;"
        ' give templates={"whatsapp": …}, so sms was next'
    )


def test_a_code_that_says_nothing_is_left_out(journey: Journey, words):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    hear_native(journey, message_id, AttemptState.DELIVERED, "1", "0")

    assert words(message_id)[-1][1] == "'1': delivered; charged 0.30 RUB"


def test_line_and_summary_name_one_time_of_the_delivery(journey: Journey, run: Run):
    """That at which its receipt came, however long it waited to be applied."""
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(3)
    journey.hear_of(message_id, AttemptState.DELIVERED)
    journey.advance(5)
    journey.collect()

    *_, line, last = run("trace", message_id).stdout.splitlines()

    after = re.match(r" *\+([0-9.]+ s)  ", line)
    assert after is not None
    assert float(after[1].split()[0]) < 5
    assert last.startswith(f"delivered over vk after {after[1]};")


def test_a_repeated_word_is_told_as_said_again(journey: Journey, words):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    hear_native(journey, message_id, AttemptState.SENT, "enqueued")
    hear_native(journey, message_id, AttemptState.SENT, "sent")

    assert [line for _, line in words(message_id)[2:4]] == [
        "'enqueued': on its way",
        "'sent': on its way, again",
    ]


def test_segments_and_a_missing_price_are_told(journey: Journey, words):
    journey.policy(a_step(Channel.SMS))
    long = journey.send(text="Ваш заказ собран. " * 6)
    journey.call(long, Accepted(("1",)))
    journey.deliver(long)
    abroad = journey.send(to="+14155552671")
    journey.call(abroad, Accepted(("2",)))
    journey.deliver(abroad)

    assert words(long)[-1][1] == "'delivered': delivered; charged 4.00 RUB for 2 segments"
    assert words(abroad)[-1][1] == (
        "'delivered': delivered; charged without a price, since no rate was there"
    )


def test_a_scheduled_message_says_when_it_starts(journey: Journey, run: Run):
    start = now(journey) + dt.timedelta(hours=2)
    message_id = journey.send(send_at=start)

    shown = run("trace", message_id).stdout

    assert f"accepted, to start at {start:%Y-%m-%d %H:%M:%S}" in shown
    assert "vk        waits for its start" in shown


def test_an_id_without_dashes_is_the_same_message(journey: Journey, run: Run):
    message_id = journey.send()

    assert run("trace", message_id.hex).stdout == run("trace", message_id).stdout


def test_an_unknown_id_is_named_so(journey: Journey, run: Run):
    result = run("trace", uuid.uuid4())

    assert result.exit_code == 2
    assert result.stderr == "cascade: message_id: no message has it; check where it is from\n"


def test_what_is_no_id_is_refused_without_a_question_to_the_database(run: Run):
    result = run("trace", "order-17")

    assert result.exit_code == 2
    assert "it is no message's id" in result.stderr
