from __future__ import annotations

import re

from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from cascade.dispatch import queue_names
from demo.__main__ import SCALE
from demo.stack import Stack
from tests.examples.running import Examples


@pytest.fixture(scope="package")
def examples(
    postgres_url: str, broker_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Examples]:
    """The whole service with one worker for all queues, as `make up` would have started it."""
    stack = Stack(
        tmp_path_factory.mktemp("examples"),
        seed=1,
        scale=SCALE,
        database_url=postgres_url,
        broker_url=re.sub(r"/\d+$", "/2", broker_url),  # other tests fill the first database
        workers={"all": (queue_names(), 6)},
        has_flower=False,
    )
    try:
        stack.start(lambda _: None)
        with Examples(stack) as running:
            yield running
    finally:
        stack.stop()


@pytest.fixture(scope="package")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the campaign writes the rows that it could not send."""
    return tmp_path_factory.mktemp("campaign") / "refused.csv"


@pytest.fixture(scope="package")
def campaign(examples: Examples, refused: Path) -> Iterator[Popen[str]]:
    """Most of its time it waits for a reader; the tests of other examples run meanwhile."""
    script = examples.begin(f"examples/campaign.py examples/campaign.csv --errors {refused}")
    yield script
    script.kill()
    script.communicate()
