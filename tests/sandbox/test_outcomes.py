"""The digits of a phone choose, and the page that says so is true."""

from __future__ import annotations

import re

from collections import Counter
from pathlib import Path

import pytest

from cascade.sandbox.clock import Tempo
from cascade.sandbox.distribution import REACH, chance_of, draw_outcome, draw_steps
from cascade.sandbox.outcomes import TABLE, Channel, Outcome, outcome_of
from cascade.sandbox.timeline import Fate, Step, steps_of, withdrawn


PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
REAL = Tempo()


def test_the_table_of_the_page_is_the_table_of_the_code():
    rows = re.findall(r"^\| (\d) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    documented = [tuple(cells.split(" | ")) for _, cells in rows]
    assert [int(digit) for digit, _ in rows] == list(range(10))
    assert documented == list(zip(*(TABLE[channel] for channel in Channel), strict=True))


def test_each_channel_reads_its_own_digit():
    chosen = [outcome_of(channel, "+79160048570") for channel in Channel]
    assert chosen == [
        Outcome.NOT_A_USER_AT_ONCE,
        Outcome.UNAVAILABLE,
        Outcome.BLOCKED,
        Outcome.LATE,
        Outcome.DRAWN,
    ]


def fates(outcome, *, ttl=60.0, tempo=REAL):
    steps = steps_of(outcome, ttl=ttl, tempo=tempo, reads=True)
    return [(step.fate, step.happens) for step in steps][1:]


def test_late_deliveries_and_expiry_are_in_real_seconds_whatever_the_scale():
    quick = Tempo(scale=0.01)
    assert fates(Outcome.LATE_AFTER_TTL, tempo=quick) == [(Fate.DELIVERED, 68.0)]
    assert fates(Outcome.EXPIRED, tempo=quick) == [(Fate.EXPIRED, 60.0)]
    assert fates(Outcome.LATE, ttl=float("inf"), tempo=quick) == [(Fate.DELIVERED, 38.0)]


def test_a_while_is_scaled():
    assert fates(Outcome.AFTER_A_WHILE) == [(Fate.DELIVERED, 20.0)]
    assert fates(Outcome.AFTER_A_WHILE, tempo=Tempo(scale=0.05)) == [(Fate.DELIVERED, 1.0)]


def test_a_delivery_after_the_ttl_is_an_expiry_at_the_ttl():
    assert fates(Outcome.AFTER_A_WHILE, ttl=15) == [(Fate.EXPIRED, 15)]


def test_a_message_delivered_in_time_may_be_read_after_its_ttl():
    steps = (Step(Fate.DELIVERED, 14.0), Step(Fate.READ, 100.0))
    assert withdrawn(steps, 15.0) == steps


def test_a_delivery_that_never_comes_without_a_ttl_is_no_event():
    assert withdrawn((Step(Fate.DELIVERED, float("inf")),), float("inf")) == ()


def people(count):
    return [f"+79{number:09}" for number in range(count)]


def drawn(channel, phone, *, seed=1, tempo=REAL):
    dice = chance_of(seed, channel, phone)
    outcome = draw_outcome(channel, dice)
    return outcome, draw_steps(channel, dice, tempo) if outcome is Outcome.DRAWN else ()


@pytest.mark.parametrize("channel", list(Channel))
def test_a_channel_reaches_its_share_of_people(channel):
    counts = Counter(drawn(channel, phone)[0] for phone in people(4000))
    assert counts[Outcome.DRAWN] / 4000 == pytest.approx(REACH[channel].reached, abs=0.03)
    unreached = {Outcome.NOT_A_USER, Outcome.NOT_A_USER_AT_ONCE, Outcome.UNDELIVERABLE}
    assert set(counts) - {Outcome.DRAWN} <= unreached


def test_42_percent_of_vk_come_within_a_minute_and_85_percent_are_read():
    reached = [steps for _, steps in (drawn(Channel.VK, phone) for phone in people(5000)) if steps]
    minute = [steps for steps in reached if steps[1].happens <= 60]
    day = [steps for steps in reached if steps[1].happens <= 86400]
    read = [steps for steps in reached if steps[-1].fate is Fate.READ]
    assert len(minute) / len(reached) == pytest.approx(0.42, abs=0.03)
    assert len(day) / len(reached) == pytest.approx(0.90, abs=0.03)
    assert len(read) / len(reached) == pytest.approx(0.85, abs=0.03)


def test_what_is_drawn_depends_on_seed_account_and_phone_alone():
    first = [drawn(Channel.VK, phone) for phone in people(50)]
    assert first == [drawn(Channel.VK, phone) for phone in people(50)]
    assert first != [drawn(Channel.VK, phone, seed=2) for phone in people(50)]
    assert first != [drawn(Channel.OK, phone) for phone in people(50)]


def test_scale_shortens_what_is_drawn():
    phone = next(phone for phone in people(100) if len(drawn(Channel.SMS, phone)[1]) == 2)
    slow, quick = (drawn(Channel.SMS, phone, tempo=Tempo(scale=s))[1][1] for s in (1.0, 0.5))
    assert quick.happens == pytest.approx(slow.happens / 2)
