"""The Celery shop sends in three ways, and hears what became of each message."""

from __future__ import annotations

import itertools
import uuid

from collections.abc import Iterator

import pytest

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from examples.celery_shop import orders
from examples.celery_shop.orders import Notification
from tests.examples.running import Examples


pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("campaign"),  # which waits meanwhile
]


@pytest.fixture
def shop(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The shop's own tables."""
    monkeypatch.setenv("SHOP_DATABASE_URL", examples.environ["SHOP_DATABASE_URL"])
    engine = orders.connect()
    yield engine
    engine.dispose()


def test_each_way_of_sending_is_heard_of_and_a_rollback_takes_its_message_with_it(
    examples: Examples,
) -> None:
    worker = "--app examples.celery_shop.app worker --queues shop --concurrency 2"
    examples.serve("celery-shop", f"-m celery {worker}")
    said = examples.run("-m examples.celery_shop.try_it +79162011111")
    assert said == [
        "order 1: placed - delivered",
        "order 1: paid - delivered",
        "order 1: ready - delivered",
        "order 2: rolled back, and no message with it",
    ]
    assert "there is no room on the shelf" in examples.log("celery-shop")
    [(messages,)] = examples.rows(
        "SELECT count(*) FROM cascade.messages WHERE sender = 'celery-shop'"
    )
    assert messages == 3
    shelves = examples.rows("SELECT shelf FROM shop.orders ORDER BY id")
    assert [one.shelf for one in shelves] == ["A7", None]


@pytest.mark.parametrize("calls", list(itertools.permutations([1, 2, 2, 3])))
def test_news_that_come_late_or_twice_leave_the_newest_state(shop: Engine, calls) -> None:
    message_id = uuid.uuid4()
    for sequence in calls:
        with Session(shop) as session, session.begin():
            orders.hear(session, message_id, f"state {sequence}", sequence)
    with Session(shop) as session:
        kept = session.get_one(Notification, message_id)
        assert (kept.state, kept.sequence) == ("state 3", 3)
