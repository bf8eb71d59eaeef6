from __future__ import annotations

import json

from decimal import Decimal
from pathlib import Path

import pytest

from cascade import AttemptState
from tests.acceptance.conftest import MESSAGES
from tests.acceptance.run import Run


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def test_the_demo_ends_with_every_message_final_and_both_books_equal(
    whole_run: tuple[Run, Path],
) -> None:
    run, report = whole_run
    assert run.process.wait(timeout=200) == 0, run.said()
    figures = json.loads(report.read_text("utf-8"))
    assert figures["balanced"] is True
    assert figures["accepted"] == figures["final"] == MESSAGES
    assert figures["delivered"] + figures["undelivered"] == MESSAGES
    charged, unattributable, billed = (
        Decimal(figures[f"cost_{name}"]) for name in ("charged", "unattributable", "sandbox")
    )
    assert charged > 0
    assert charged + unattributable == billed


def test_its_report_counts_every_attempt_once(whole_run: tuple[Run, Path]) -> None:
    run, report = whole_run
    run.process.wait(timeout=200)
    channels = json.loads(report.read_text("utf-8"))["channels"]
    assert list(channels) == ["vk", "ok", "viber", "whatsapp", "sms"]
    for channel in channels.values():
        outcomes = [channel[state.value] for state in AttemptState]
        assert sum(outcomes) == channel["attempts"] > 0
