"""A run whose figures are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cascade.domain.hint import Hint
from cascade.services.deployment import Ledger
from tests.demo.run import Run


@pytest.fixture
def run(
    ledger: Ledger, hints: list[Hint], advance_clock: Callable[[float], None], tmp_path: Path
) -> Iterator[Run]:
    run = Run(ledger, hints, advance_clock, tmp_path / "ledger.jsonl")
    yield run
    run.book.close()
