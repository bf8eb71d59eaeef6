from __future__ import annotations

import json

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from celery import Celery
from hypothesis import given, strategies as st

from cascade.dispatch import IDS_PER_HINT, Dispatcher
from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane
from workers.make_app import make_app
from workers.tasks import lane_of, result_line


def test_a_result_line_leaves_out_what_did_not_happen() -> None:
    counts = Counter(claimed=200, accepted=118, throttled=0, unsupported=82)
    assert result_line(counts) == "claimed=200 accepted=118 unsupported=82"


def test_a_result_line_says_when_nothing_happened() -> None:
    assert result_line(Counter()) == "idle"
    assert result_line(Counter(claimed=0)) == "idle"
