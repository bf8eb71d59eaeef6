from __future__ import annotations

import pytest

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from cascade.storage.database import connect, is_passing, is_transient, now, transaction


pytestmark = pytest.mark.integration

SECRET = "+79161234567"


def failing(times: int, statement: str):
    """Work that fails so many times in the way of `statement`, and then says how often it ran."""
    runs: list[int] = []

    def work(connection: Connection) -> int:
        runs.append(1)
        if len(runs) <= times:
            connection.execute(text(statement))
        return len(runs)

    return work


def a_failure(code: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$"


@pytest.mark.parametrize("code", ["40001", "40P01", "57P01", "57P03", "08006", "25P03"])
def test_what_may_pass_is_run_again(engine: Engine, code: str):
    assert transaction(engine, failing(2, a_failure(code))) == 3


def test_a_connection_that_dies_is_replaced(engine: Engine):
    assert transaction(engine, failing(1, "SELECT pg_terminate_backend(pg_backend_pid())")) == 2


def test_a_process_that_was_frozen_in_a_transaction_runs_it_again(engine: Engine):
    frozen: list[int] = []

    def work(connection: Connection) -> int:
        if not frozen:
            frozen.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1ms'"))
            _await_end(engine, frozen[0])
        return int(connection.execute(text("SELECT 7")).scalar_one())

    assert transaction(engine, work) == 7


def _await_end(engine: Engine, pid: int) -> None:
    there = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as other:
        while other.execute(there, {"pid": pid}).scalar_one():
            pass


def test_three_tries_are_all(engine: Engine):
    with pytest.raises(DBAPIError):
        transaction(engine, failing(3, a_failure("40001")))


def test_patience_is_counted_in_seconds_and_not_in_tries(engine: Engine):
    assert transaction(engine, failing(4, a_failure("40001")), patience=30) == 5
    with pytest.raises(DBAPIError):
        transaction(engine, failing(1, a_failure("40001")), patience=0)


@pytest.mark.parametrize("code", ["23505", "22P02", "55P03", "57014"])
def test_what_will_not_pass_at_once_is_not_run_again(engine: Engine, code: str):
    work = failing(1, a_failure(code))

    with pytest.raises(DBAPIError):
        transaction(engine, work)
    assert transaction(engine, work) == 2


@pytest.mark.parametrize(
    ("code", "passing"), [("55P03", True), ("57014", True), ("40P01", True), ("23505", False)]
)
def test_time_outs_are_the_databases_trouble_and_not_a_rows(
    engine: Engine, code: str, *, passing: bool
):
    with pytest.raises(DBAPIError) as error, engine.begin() as connection:
        connection.execute(text(a_failure(code)))

    assert is_passing(error.value) is passing


def test_a_fault_of_ours_is_nobodys_but_ours():
    assert not is_transient(ValueError())
    assert not is_passing(ValueError())


def test_nothing_of_a_failed_transaction_stays(engine: Engine):
    def work(connection: Connection) -> None:
        connection.execute(
            text("INSERT INTO cascade.policies (name, version, steps) VALUES ('x', 1, '[]')")
        )
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transaction(engine, work)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM cascade.policies")).scalar_one() == 0


def test_no_error_text_holds_what_was_to_be_written(engine: Engine):
    with pytest.raises(DBAPIError) as error, engine.begin() as connection:
        connection.execute(text("SELECT CAST(:phone AS text), 1/0"), {"phone": SECRET})

    assert SECRET not in str(error.value)
    assert SECRET not in repr(error.value)


def test_a_database_that_is_not_there_is_an_error_and_no_wait():
    with pytest.raises(OperationalError):
        transaction(connect("postgresql+psycopg2://nobody@127.0.0.1:1/none"), now)


def test_no_connection_waits_or_holds_locks_for_ever(engine: Engine):
    with engine.begin() as connection:
        limits = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            )
        ]
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"

    assert limits == ["15s", "5s", "4s"]


def test_all_processes_share_the_databases_time(engine: Engine, advance_clock):
    before = transaction(engine, now)
    advance_clock(3600)

    assert 3600 <= (transaction(engine, now) - before).total_seconds() < 3610
