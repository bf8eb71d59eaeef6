"""A message in the caller's own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from cascade.client import Cascade
from cascade.domain.errors import ConfigurationError, InvalidInputError, TryAgainError
from cascade.domain.hint import Hint
from cascade.storage.database import connect
from tests.services.journey import PHONE, WORDS, Journey


pytestmark = pytest.mark.integration


@pytest.fixture
def shop(engine: Engine, database_url: str) -> Iterator[Engine]:
    """The caller's own engine and table on the same database."""
    ours = create_engine(database_url.replace("postgresql://", "postgresql+psycopg2://"))
    with ours.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS public.orders"))
        connection.execute(text("CREATE TABLE public.orders (id integer PRIMARY KEY)"))
    yield ours
    with ours.begin() as connection:
        connection.execute(text("DROP TABLE public.orders"))
    ours.dispose()


@pytest.fixture
def session(shop: Engine) -> Iterator[Session]:
    with Session(shop) as opened:
        yield opened


def order(session: Session, number: int) -> None:
    session.execute(text("INSERT INTO public.orders VALUES (:id)"), {"id": number})


def counts(journey: Journey) -> tuple[int, int]:
    """Orders and messages that others can see."""
    [orders] = journey.row("SELECT count(*) FROM public.orders")
    [messages] = journey.row("SELECT count(*) FROM cascade.messages")
    return orders, messages


def test_the_callers_commit_makes_both_real_and_then_hints(
    journey: Journey, session: Session, hints: list[Hint]
):
    order(session, 1)
    message_id = journey.send(session=session)
    assert counts(journey) == (0, 0)
    assert hints == []

    session.commit()

    assert counts(journey) == (1, 1)
    assert [hint.attempt_id for hint in hints] == [journey.attempt(message_id).id]


def test_the_callers_rollback_takes_the_message_with_it(
    journey: Journey, session: Session, hints: list[Hint]
):
    order(session, 1)
    journey.send(session=session, key="order-1")
    session.rollback()

    assert counts(journey) == (0, 0)
    order(session, 2)
    session.commit()
    assert hints == []
    journey.send(key="order-1", text="other words")  # the key went with it as well


def test_several_messages_of_one_transaction_are_hinted_at_once_each(
    journey: Journey, session: Session, hints: list[Hint]
):
    for _ in range(2):
        journey.send(session=session)
    session.commit()
    journey.send(session=session)
    session.commit()

    assert len({hint.attempt_id for hint in hints}) == len(hints) == 3


def test_a_savepoint_of_the_callers_may_take_its_message_back(
    journey: Journey, session: Session, hints: list[Hint]
):
    with session.begin_nested():
        kept = journey.send(session=session)
    savepoint = session.begin_nested()
    journey.send(session=session)
    savepoint.rollback()
    assert hints == []

    session.commit()

    assert counts(journey)[1] == 1
    assert journey.attempt(kept).id in [hint.attempt_id for hint in hints]


def test_what_is_refused_leaves_the_transaction_as_it_was(journey: Journey, session: Session):
    order(session, 1)
    with pytest.raises(InvalidInputError):
        journey.send(session=session, to="12")
    with pytest.raises(ConfigurationError):
        journey.send(session=session, policy="nobody")
    session.commit()

    assert counts(journey) == (1, 0)


def test_an_uncommitted_key_is_waited_for_and_then_asked_to_try_again(
    journey: Journey, session: Session, shop: Engine, impatient: Engine
):
    """`impatient` waits a tenth of a second where others wait five."""
    journey.send(session=session, key="order-1")

    with pytest.raises(TryAgainError, match="key"):
        Cascade(replace(journey.ledger, engine=impatient)).send(
            to=PHONE, text=WORDS, key="order-1"
        )


def test_whoever_waits_for_the_key_gets_the_first_id_after_the_commit(
    journey: Journey, session: Session
):
    first = journey.send(session=session, key="order-1")
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(journey.send, key="order-1")
        session.commit()
        assert second.result(10) == first


def test_a_lock_that_is_not_had_leaves_the_transaction_usable(
    journey: Journey, shop: Engine, session: Session
):
    with Session(shop) as other:
        other.execute(text("LOCK TABLE cascade.idempotency_keys IN EXCLUSIVE MODE"))
        order(session, 1)
        with pytest.raises(TryAgainError):
            journey.send(session=session, key="order-1")
    session.commit()
    assert counts(journey) == (1, 0)


def test_the_callers_own_patience_comes_back(journey: Journey, session: Session):
    session.execute(text("SET LOCAL lock_timeout = '7s'"))
    journey.send(session=session)
    assert session.execute(text("SHOW lock_timeout")).scalar_one() == "7s"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_may_not_see_keys_is_refused(
    journey: Journey, shop: Engine, level: str
):
    with (
        Session(shop.execution_options(isolation_level=level)) as strict,
        pytest.raises(ConfigurationError, match="READ COMMITTED"),
    ):
        journey.send(session=strict)


def test_a_session_that_commits_by_itself_is_refused(journey: Journey, shop: Engine):
    with (
        Session(shop.execution_options(isolation_level="AUTOCOMMIT")) as hasty,
        pytest.raises(ConfigurationError, match="commits by itself"),
    ):
        journey.send(session=hasty)


def test_a_session_of_no_postgresql_is_refused(journey: Journey):
    elsewhere = create_engine("sqlite://")
    with Session(elsewhere) as other, pytest.raises(ConfigurationError, match="no PostgreSQL"):
        journey.send(session=other)
    elsewhere.dispose()


def test_a_session_that_is_bound_to_nothing_is_refused(journey: Journey):
    with Session() as loose, pytest.raises(ConfigurationError, match="bound to no database"):
        journey.send(session=loose)


def test_a_list_of_steps_that_is_new_in_a_long_transaction_holds_up_nobody(
    journey: Journey, session: Session
):
    steps = [{"channel": "sms", "ttl": "77s"}]
    journey.send(session=session, policy=steps)

    other = journey.send(policy=steps)

    assert journey.attempt(other).channel == "sms"


def test_two_transactions_that_deadlock_over_keys_are_asked_to_try_again(
    journey: Journey, session: Session, shop: Engine
):
    with Session(shop) as other, ThreadPoolExecutor(1) as pool:
        journey.send(session=session, key="x")
        journey.send(session=other, key="y")
        waiting = pool.submit(journey.send, session=session, key="y")
        errors = [refused(lambda: journey.send(session=other, key="x"))]
        other.rollback()
        errors.append(refused(waiting.result))
        session.rollback()

    assert {type(error) for error in errors if error} == {TryAgainError}


def refused(work: Callable[[], object]) -> Exception | None:
    try:
        work()
    except TryAgainError as error:
        return error
    return None


def test_what_a_closed_session_lost_is_not_hinted_at_later(
    journey: Journey, shop: Engine, hints: list[Hint]
):
    lasting = Session(shop)
    journey.send(session=lasting)
    lasting.close()
    order(lasting, 1)
    lasting.commit()
    lasting.close()

    assert hints == []


def test_each_client_publishes_its_own_hints(journey: Journey, session: Session):
    heard: dict[str, int] = {"one": 0, "two": 0}

    def client(name: str) -> Cascade:
        def publish(hints: Iterable[Hint]) -> int:
            heard[name] += len(list(hints))
            return heard[name]

        return Cascade(replace(journey.ledger, publish=publish))

    client("one").send(to=PHONE, text=WORDS, session=session)
    client("two").send(to=PHONE, text=WORDS, session=session)
    session.commit()

    assert heard == {"one": 1, "two": 1}


def test_a_session_on_another_database_is_refused(journey: Journey, bare_database_url: str):
    elsewhere = connect(bare_database_url)
    with Session(elsewhere) as other, pytest.raises(ConfigurationError, match="session"):
        journey.send(session=other)
    elsewhere.dispose()


def test_a_scoped_session_is_joined_as_well(journey: Journey, shop: Engine, hints: list[Hint]):
    registry = scoped_session(sessionmaker(shop))
    journey.send(session=registry)
    registry.commit()
    registry.remove()

    assert counts(journey)[1] == len(hints) == 1
