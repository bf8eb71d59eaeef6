from __future__ import annotations

import csv
import subprocess
import sys

from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import phonenumbers
import pytest

from cascade.domain.phone import normalise


EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = EXAMPLES / "recipients.csv"

CHANNELS = ("vk", "ok", "viber", "whatsapp", "sms")
TTL = {"vk": 15, "ok": 15, "viber": 30, "whatsapp": 30, "sms": 60}
WAITS = {"vk": "06", "ok": "06", "viber": "06789", "whatsapp": "067", "sms": "06"}
DELIVERS = {"vk": "123789", "ok": "123789", "viber": "123", "whatsapp": "12389", "sms": "123789"}
LONGEST_WAIT = 75

# How often the digit 0 reaches a person, by the sandbox's distribution.
REACH = {"vk": 0.60, "ok": 0.35, "viber": 0.33, "whatsapp": 0.38, "sms": 0.98}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def phones(rows: list[dict[str, str]]) -> list[str]:
    return [row["to"] for row in rows]


def worst_wait(ending: str) -> int:
    """Seconds until the last step is over, if whatever may wait does and nothing drawn delivers."""
    total = 0
    for channel, digit in zip(CHANNELS, ending, strict=True):
        if digit in WAITS[channel]:
            total += TTL[channel]
        if digit in DELIVERS[channel]:
            break
    return total


def reached(ending: str) -> list[tuple[str, str]]:
    """The channels, with their digits, that a message to this person may come to."""
    found = []
    for channel, digit in zip(CHANNELS, ending, strict=True):
        found.append((channel, digit))
        if digit in DELIVERS[channel]:
            break
    return found


def expected_shares(endings: list[str]) -> dict[str, float]:
    """The share of all messages that ends on each channel, or as `undelivered`."""
    shares: dict[str, float] = defaultdict(float)
    for ending in endings:
        left = 1 / len(endings)
        for channel, digit in zip(CHANNELS, ending, strict=True):
            chance = REACH[channel] if digit == "0" else float(digit in DELIVERS[channel])
            shares[channel] += left * chance
            left *= 1 - chance
        shares["undelivered"] += left
    return shares


def test_the_script_makes_the_file_byte_for_byte(tmp_path: Path) -> None:
    made = tmp_path / "recipients.csv"
    command = [sys.executable, str(EXAMPLES / "make_recipients.py"), "--output", str(made)]
    subprocess.run(command, check=True)
    assert made.read_bytes() == FILE.read_bytes()


def test_there_are_five_thousand_people_with_phones_of_their_own(phones: list[str]) -> None:
    assert len(phones) == len(set(phones)) == 5000


def test_every_phone_is_a_mobile_number_in_its_stored_form(phones: list[str]) -> None:
    assert [normalise(phone) for phone in phones] == phones


def test_most_people_are_in_russia_some_in_kazakhstan_and_belarus(phones: list[str]) -> None:
    regions = Counter(
        phonenumbers.region_code_for_number(phonenumbers.parse(phone)) for phone in phones
    )
    assert set(regions) == {"RU", "KZ", "BY"}
    assert regions["KZ"] == pytest.approx(100, abs=30)
    assert regions["BY"] == pytest.approx(50, abs=20)


def test_nobody_keeps_a_run_waiting_for_longer_than_75_seconds(phones: list[str]) -> None:
    assert {phone[-5:] for phone in phones if worst_wait(phone[-5:]) > LONGEST_WAIT} == set()


def test_the_first_two_hundred_rows_come_to_every_outcome_of_every_channel(
    phones: list[str],
) -> None:
    seen = {step for phone in phones[:200] for step in reached(phone[-5:])}
    assert seen == {(channel, str(digit)) for channel in CHANNELS for digit in range(10)}


def test_seven_in_ten_people_begin_with_a_drawn_outcome(phones: list[str]) -> None:
    drawn = sum(phone[-5] == "0" for phone in phones)
    assert drawn / len(phones) == pytest.approx(0.70, abs=0.01)


def test_the_channels_shares_are_plausible(phones: list[str]) -> None:
    shares = expected_shares([phone[-5:] for phone in phones])
    assert shares["vk"] == pytest.approx(0.60, abs=0.05)
    assert shares["sms"] == pytest.approx(0.10, abs=0.03)
    assert shares["undelivered"] == pytest.approx(0.02, abs=0.01)


@pytest.mark.parametrize(
    ("channel", "digit", "share"),
    [
        ("viber", "9", 0.003),  # can never be attributed
        ("vk", "9", 0.005),  # never answered
        ("vk", "8", 0.01),  # throttled
        ("ok", "8", 0.01),
        ("whatsapp", "8", 0.01),
        ("sms", "8", 0.01),
    ],
)
def test_a_providers_misbehaviour_is_rare(
    phones: list[str], channel: str, digit: str, share: float
) -> None:
    meeting = sum((channel, digit) in reached(phone[-5:]) for phone in phones)
    assert meeting / len(phones) == pytest.approx(share, rel=0.2)


def test_every_person_has_a_name_an_order_and_an_amount(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert row["name"].isalpha()
        assert not row["name"].isascii()
        assert Decimal(row["amount"]) > 0
    assert len({row["order"] for row in rows}) == len(rows)
