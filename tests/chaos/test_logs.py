"""Tracebacks in logs are told by type and place; only what a run with faults must log is excused."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.checker.json_lines import EvidenceError
from chaos.checker.logs import Trouble, read_troubles


FRAMES = """\
  File "/opt/app/cascade/services/tick.py", line 12, in tick
    yield do()
    ^^^^^^^^^^
  File "/opt/venv/site-packages/sqlalchemy/engine/base.py", line 1967, in _exec
    raise
"""
BEGIN = "Traceback (most recent call last):\n"


def troubles(directory: Path, text: str) -> list[Trouble]:
    (directory / "tick.log").write_text(text, "utf-8")
    return read_troubles(directory)


def test_a_traceback_is_told_by_its_type_and_the_innermost_frame_of_ours(tmp_path):
    text = f"2026-11-22T20:00:00Z ERROR a.b: it failed\n{BEGIN}{FRAMES}KeyError: 'a'\n2026-11-22 next\n"
    [found] = troubles(tmp_path, text)

    assert str(found) == "KeyError in cascade/services/tick.py:12 tick (tick.log:2)"
    assert found.expected is None


def test_a_traceback_without_a_frame_of_ours_is_told_by_its_innermost_one(tmp_path):
    frame = '  File "/opt/venv/kombu/transport/redis.py", line 7, in pool\n    return 1\n'
    [found] = troubles(tmp_path, f"{BEGIN}{frame}AttributeError: x\n")

    assert found.place == "transport/redis.py:7 pool"


@pytest.mark.parametrize(
    "link",
    [
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
    ],
)
def test_of_a_chain_the_exception_counts_that_nobody_caught(tmp_path, link):
    first = f"{BEGIN}{FRAMES}redis.exceptions.ConnectionError: gone\nand more words\n"
    [found] = troubles(tmp_path, f"{first}\n{link}\n\n{BEGIN}{FRAMES}ValueError\n")

    assert (found.kind, found.expected) == ("ValueError", None)


def test_tracebacks_that_follow_each_other_are_counted_each(tmp_path):
    found = troubles(tmp_path, f"{BEGIN}{FRAMES}KeyError: 1\nline\n{BEGIN}{FRAMES}ValueError: 2\n")

    assert [one.kind for one in found] == ["KeyError", "ValueError"]


def test_a_traceback_in_a_group_of_exceptions_is_found(tmp_path):
    group = (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "/opt/app/cascade/gateway/app.py", line 3, in run\n'
        "  |     yield\n"
        "  | ExceptionGroup: unhandled errors (1 sub-exception)\n"
    )
    [found] = troubles(tmp_path, group)

    assert str(found) == "ExceptionGroup in cascade/gateway/app.py:3 run (tick.log:1)"


def test_a_traceback_that_the_process_did_not_finish_is_found(tmp_path):
    [found] = troubles(tmp_path, BEGIN + FRAMES)

    assert found.kind == "unfinished"


def test_an_exception_of_a_killed_child_is_counted_once(tmp_path):
    frame = '  File "/opt/venv/billiard/pool.py", line 1, in mark\n    raise X(\n'
    lost = "billiard.exceptions.WorkerLostError: Worker exited prematurely: signal 9 (SIGKILL)"
    wrapped = (
        f'{BEGIN}{frame}billiard.einfo.ExceptionWithTraceback: \n"""\n{BEGIN}{frame}{lost}\n"""\n'
    )
    [found] = troubles(tmp_path, wrapped)

    assert found.expected


@pytest.mark.parametrize(
    "last_line",
    [
        (
            "sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection to server at"
            ' "127.0.0.1", port 5 failed: FATAL:  the database system is starting up'
        ),
        (
            "sqlalchemy.exc.OperationalError: (psycopg2.errors.AdminShutdown) terminating connection due"
            " to administrator command"
        ),
        "psycopg2.OperationalError: server closed the connection unexpectedly",
        "redis.exceptions.ConnectionError: Error 104 connecting to 127.0.0.1:5.",
        "kombu.exceptions.OperationalError: Connection closed by server.",
        "celery.beat.SchedulingError: Couldn't apply scheduled task tick: Error 111 connecting to a",
        (
            "celery.beat.SchedulingError: Couldn't apply scheduled task tick: Valkey is loading the"
            " dataset in memory"
        ),
        (
            "celery.beat.SchedulingError: Couldn't apply scheduled task tick: Error 104 while writing"
            " to socket. Connection reset by peer."
        ),
        "AttributeError: 'NoneType' object has no attribute 'client'",
    ],
)
def test_the_loss_of_a_connection_is_expected(tmp_path, last_line):
    [found] = troubles(tmp_path, f"{BEGIN}{FRAMES}{last_line}\n")

    assert found.expected


@pytest.mark.parametrize(
    "last_line",
    [
        "sqlalchemy.exc.OperationalError: (psycopg2.errors.DeadlockDetected) deadlock detected",
        (
            "sqlalchemy.exc.OperationalError: (psycopg2.errors.LockNotAvailable) canceling statement due"
            " to lock timeout"
        ),
        "sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate key",
        "celery.beat.SchedulingError: Couldn't apply scheduled task tick: 'tick'",
        "billiard.exceptions.WorkerLostError: Worker exited prematurely: signal 11 (SIGSEGV)",
        "RuntimeError: server closed the connection",
    ],
)
def test_other_trouble_is_not(tmp_path, last_line):
    [found] = troubles(tmp_path, f"{BEGIN}{FRAMES}{last_line}\n")

    assert found.expected is None


def test_what_an_exception_says_is_never_shown(tmp_path):
    [found] = troubles(tmp_path, f"{BEGIN}{FRAMES}ValueError: +79161234567\n")

    assert "+79161234567" not in str(found)


def test_a_directory_without_logs_is_no_evidence(tmp_path):
    with pytest.raises(EvidenceError, match="has no logs"):
        read_troubles(tmp_path)
