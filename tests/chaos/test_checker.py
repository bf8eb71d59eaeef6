"""The checker finds nothing in a run without faults, and each fault by its own count."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import subprocess
import sys
import uuid

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sqlalchemy import make_url, text

from cascade.storage.database import connect
from cascade.storage.migrate import upgrade
from chaos.checker.logs import Trouble
from chaos.checker.verdict import Verdict
from tests.chaos.truth import DEADLINE, TTL, Truth


ROOT = Path(__file__).resolve().parents[2]
HISTORY = ROOT / "chaos" / "checker" / "history.sql"


def prepared(url: str) -> str:
    """Migrates an empty database and keeps its history; its address for psycopg2."""
    engine = connect(url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(HISTORY.read_text("utf-8"))
    engine.dispose()
    return url.replace("+psycopg2", "")


@pytest.fixture(scope="module")
def dsn(postgres_url: str) -> Iterator[str]:
    """A migrated database whose history is kept."""
    server = connect(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    url = make_url(postgres_url).set(database=f"chaos_{secrets.token_hex(6)}")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {url.database}"))
    plain = prepared(url.render_as_string(hide_password=False))
    yield plain
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {url.database} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(scope="module")
def written(dsn: str) -> Truth:
    """A run that is there in every test."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        truth = Truth(cursor, seed=1)
        connection.commit()
    return truth


@pytest.fixture
def cursor(dsn: str) -> Iterator[Any]:
    """Its transaction is rolled back."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def truth(written: Truth, cursor: Any) -> Truth:
    return written.seen_by(cursor)


@pytest.fixture
def emptied(cursor: Any) -> Any:
    """A cursor that sees no row."""
    cursor.execute(
        "TRUNCATE cascade.messages, cascade.attempts, cascade.events, cascade.charges CASCADE"
    )
    cursor.execute("TRUNCATE cascade.policies, cascade.rates, cascade.provider_refs")
    cursor.execute("TRUNCATE chaos.history, cascade.receipts")
    return cursor


def violated(verdict: Verdict) -> dict[str, int]:
    return {name: found.count for name, found in verdict.violations.items() if found.count}


@pytest.mark.parametrize("seed", [2, 3])
def test_a_run_in_which_nothing_went_wrong_is_clean(emptied, tmp_path, seed):
    truth = Truth(emptied, seed)
    fates = [one["fate"] for one in truth.attempts]
    verdict = truth.judge(tmp_path)

    assert violated(verdict) == {}
    assert verdict.is_clean
    assert all(sums.difference == 0 for sums in verdict.sums.values())
    assert verdict.reported["unattributable"].count == fates.count("unattributable") > 0
    assert verdict.reported["unheard"].count == fates.count("unheard") > 0
    assert verdict.reported["skipped_channels"].count == (
        fates.count("never called") + fates.count("ambiguous and not taken")
    )


def lose_a_message(truth: Truth) -> None:
    truth.journal.append(truth.journal[0] | {"id": "00000000-0000-4000-8000-000000000000"})


def open_no_step(truth: Truth) -> None:
    message_id = uuid.uuid4()
    truth.add_message(message_id)
    truth.end_message(message_id, "undelivered")


def leave_a_message_in_progress(truth: Truth) -> None:
    truth.do("ALTER TABLE cascade.messages DISABLE TRIGGER changed")
    truth.do(
        "UPDATE cascade.messages SET state = 'in_progress', ended_at = NULL, success_met = false"
        " WHERE id = %s",
        truth.attempts[0]["message_id"],
    )


def end_a_message_too_late(truth: Truth) -> None:
    truth.do(
        "UPDATE chaos.history SET at = %s WHERE message_id = %s AND old = 'in_progress'",
        truth.begun + DEADLINE + dt.timedelta(seconds=91),
        truth.attempts[0]["message_id"],
    )


def charge_twice(truth: Truth) -> None:
    truth.do("ALTER TABLE cascade.charges DROP CONSTRAINT charges_pkey")
    truth.do(
        "INSERT INTO cascade.charges SELECT * FROM cascade.charges WHERE attempt_id = %s",
        truth.attempt("delivered")["id"],
    )


def charge_nothing(truth: Truth) -> None:
    one = truth.attempt("delivered")
    truth.do("DELETE FROM cascade.charges WHERE attempt_id = %s", one["id"])


def charge_nothing_for_an_ambiguous_send_that_could_be_found(truth: Truth) -> None:
    one = truth.attempt("ambiguous and delivered")
    truth.do("DELETE FROM cascade.charges WHERE attempt_id = %s", one["id"])


def charge_nothing_although_a_repeated_webhook_was_heard(truth: Truth) -> None:
    truth.hear(truth.attempt("unheard"), "delivered")


def charge_nothing_although_a_poll_was_answered(truth: Truth) -> None:
    one = truth.attempt("unheard")
    truth.receive(one, "delivered")
    truth.move(one, "delivered")


def charge_nothing_and_nobody_knows_why(truth: Truth) -> None:
    one = truth.attempt("unheard")
    truth.lines.remove(truth.find("unheard", client_ref=one["client_ref"]))


def charge_nothing_for_a_send_that_was_answered(truth: Truth) -> None:
    one = truth.attempt("delivered")
    truth.do("DELETE FROM cascade.charges WHERE attempt_id = %s", one["id"])
    truth.do("DELETE FROM cascade.provider_refs WHERE attempt_id = %s", one["id"])


def charge_nothing_for_an_ambiguous_send_with_a_reference(truth: Truth) -> None:
    truth.add_ref(truth.attempt("unattributable"), "learnt later")


def charge_a_kopeck_too_much(truth: Truth) -> None:
    truth.do(
        "UPDATE cascade.charges SET amount = amount + 0.01 WHERE attempt_id = %s",
        truth.attempt("delivered")["id"],
    )


def charge_part_of_a_kopeck_too_little(truth: Truth) -> None:
    truth.do(
        "UPDATE cascade.charges SET amount = amount - 0.000001 WHERE attempt_id = %s",
        truth.attempt("delivered")["id"],
    )


def charge_what_was_not_delivered(truth: Truth) -> None:
    one = truth.attempt("expired")
    truth.charge(one | {"price": "0.01"})
    truth.do("UPDATE cascade.attempts SET delivered_at = NULL WHERE id = %s", one["id"])


def charge_without_a_rate(truth: Truth) -> None:
    one = truth.attempt("read")
    truth.do(
        "UPDATE cascade.charges SET amount = NULL, rate_id = NULL WHERE attempt_id = %s", one["id"]
    )
    truth.find("delivered", client_ref=one["client_ref"])["amount"] = "0.01"


def send_twice(truth: Truth) -> None:
    one = truth.attempt("delivered")
    _record(truth, "attempt_id", one["id"], "queued", "sending")
    truth.book("called", one, 10, accepted=True)
    truth.book("accepted", one, 10)


def send_and_deliver_twice(truth: Truth) -> None:
    send_twice(truth)
    one = truth.attempt("delivered")
    truth.book("delivered", one, 11, amount=str(one["price"]))


def have_two_references(truth: Truth) -> None:
    truth.add_ref(truth.attempt("expired"), "another")


def call_for_nobody(truth: Truth) -> None:
    stranger = truth.attempts[0] | {"client_ref": "of nobody"}
    truth.book("called", stranger, 1, accepted=True)
    truth.book("accepted", stranger, 1)
    truth.book("delivered", stranger, 1, amount="7.77")


def call_before_the_intent(truth: Truth) -> None:
    one = truth.attempt("delivered")
    truth.do(
        "UPDATE chaos.history SET at = %s WHERE attempt_id = %s",
        truth.begun + dt.timedelta(seconds=1.01),
        one["id"],
    )


def call_again_on_one_intent(truth: Truth) -> None:
    truth.book("called", truth.attempt("unsupported at once"), 2, accepted=False)


def call_after_the_deadline(truth: Truth) -> None:
    line = truth.find("called")
    line["received_at"] = (truth.begun + DEADLINE + dt.timedelta(seconds=1)).isoformat()


def bring_a_retry_back_from_its_end(truth: Truth) -> None:
    _record(truth, "attempt_id", truth.attempts[0]["id"], "sent", "retry")


def take_a_delivery_back(truth: Truth) -> None:
    _record(truth, "attempt_id", truth.attempts[0]["id"], "read", "delivered")


def promote_a_cancelled_message(truth: Truth) -> None:
    _record(truth, "message_id", truth.attempts[0]["message_id"], "cancelled", "delivered")


def _record(truth: Truth, column: str, one: object, old: str, new: str) -> None:
    truth.do(
        f"INSERT INTO chaos.history ({column}, old, new) VALUES (%s, %s, %s)",  # noqa: S608  # ours
        *(one, old, new),
    )


def expire_before_the_ttl_is_over(truth: Truth) -> None:
    _expire_after(truth, TTL - 0.01)


def _expire_after(truth: Truth, seconds: float) -> None:
    truth.do(
        "UPDATE chaos.history SET at = %s WHERE new = 'expired' AND attempt_id = %s",
        truth.begun + dt.timedelta(seconds=seconds),
        truth.attempt("expired")["id"],
    )


def expire_behind_the_back_of_a_receipt(truth: Truth) -> None:
    _wait_for_a_receipt(truth, "45 s", applied="60 s")


def _wait_for_a_receipt(truth: Truth, expired: str, *, applied: str) -> None:
    """A delivered attempt had expired before its receipt, which came at 40 s, was applied."""
    one = truth.attempt("delivered")
    receipt = (
        "UPDATE cascade.receipts SET received_at = %s, applied_at = %s + CAST(%s AS interval)"
        " WHERE attempt_id = %s"
    )
    came_at = truth.begun + dt.timedelta(seconds=40)
    truth.do(receipt, came_at, truth.begun, applied, one["id"])
    truth.do(
        "INSERT INTO chaos.history (attempt_id, old, new, at)"
        " VALUES (%s, 'sent', 'expired', %s + CAST(%s AS interval))",
        *(one["id"], truth.begun, expired),
    )


def leave_a_receipt(truth: Truth) -> None:
    truth.receive(truth.attempt("expired"), "expired", applied=False)


def leave_a_receipt_that_only_the_providers_reference_finds(truth: Truth) -> None:
    one = next(
        a for a in truth.attempts if a["fate"] == "undeliverable" and a["channel"] == "viber"
    )
    truth.receive(one, "sent", applied=False)


def thank_for_a_receipt_and_forget_it(truth: Truth) -> None:
    truth.book("told", truth.attempt("expired"), 9, word="expired", status=204)


def apply_a_receipt_to_no_effect(truth: Truth) -> None:
    truth.receive(truth.attempt("expired"), "undeliverable")


def fail_unhandled(truth: Truth) -> None:
    truth.troubles.append(
        Trouble(process="vk", line=1, kind="KeyError", place="cascade/a.py:1 f", words="'a'")
    )


FAULTS: tuple[tuple[str, Callable[[Truth], None]], ...] = (
    ("lost", lose_a_message),
    ("lost", open_no_step),
    ("stuck", leave_a_message_in_progress),
    ("stuck", end_a_message_too_late),
    ("charged_twice", charge_twice),
    ("not_charged", charge_nothing),
    ("not_charged", charge_nothing_for_an_ambiguous_send_that_could_be_found),
    ("not_charged", charge_nothing_although_a_repeated_webhook_was_heard),
    ("not_charged", charge_nothing_although_a_poll_was_answered),
    ("not_charged", charge_nothing_and_nobody_knows_why),
    ("not_charged", charge_nothing_for_a_send_that_was_answered),
    ("not_charged", charge_nothing_for_an_ambiguous_send_with_a_reference),
    ("sum_difference", charge_a_kopeck_too_much),
    ("sum_difference", charge_part_of_a_kopeck_too_little),
    ("sum_difference", charge_what_was_not_delivered),
    ("sum_difference", charge_without_a_rate),
    ("second_sends", send_twice),
    ("second_sends", send_and_deliver_twice),
    ("second_sends", have_two_references),
    ("sends_without_intent", call_for_nobody),
    ("sends_without_intent", call_before_the_intent),
    ("sends_without_intent", call_again_on_one_intent),
    ("sends_after_deadline", call_after_the_deadline),
    ("backward", bring_a_retry_back_from_its_end),
    ("backward", take_a_delivery_back),
    ("backward", promote_a_cancelled_message),
    ("hasty_expiries", expire_before_the_ttl_is_over),
    ("hasty_expiries", expire_behind_the_back_of_a_receipt),
    ("receipts_unapplied", leave_a_receipt),
    ("receipts_unapplied", leave_a_receipt_that_only_the_providers_reference_finds),
    ("receipts_unapplied", thank_for_a_receipt_and_forget_it),
    ("receipts_unapplied", apply_a_receipt_to_no_effect),
    ("exceptions", fail_unhandled),
)


@pytest.mark.parametrize(("count", "fault"), FAULTS, ids=lambda one: getattr(one, "__name__", ""))
def test_one_fault_is_found_once_and_under_one_name(truth, tmp_path, count, fault):
    fault(truth)

    verdict = truth.judge(tmp_path)
    assert violated(verdict) == {count: 1}
    assert len(verdict.violations[count].examples) == 1


def test_differences_that_cancel_in_the_sum_are_found(truth, tmp_path):
    one, other = [a for a in truth.attempts if a["fate"] in ("delivered", "read")][:2]
    for attempt, more in ((one, "0.01"), (other, "-0.01")):
        truth.do(
            "UPDATE cascade.charges SET amount = amount + %s WHERE attempt_id = %s",
            *(more, attempt["id"]),
        )

    assert violated(truth.judge(tmp_path)) == {"sum_difference": 2}


def test_a_correction_mends_a_charge(truth, tmp_path):
    charge_a_kopeck_too_much(truth)
    run = truth.value(
        "INSERT INTO cascade.reconciliations (is_nightly, since, until, lines, found)"
        " VALUES (true, 'epoch', 'epoch', 0, '{}') RETURNING id"
    )
    truth.do(
        "INSERT INTO cascade.corrections (reconciliation_id, attempt_id, reason, amount, currency)"
        " VALUES (%s, %s, 'price', -0.01, 'RUB')",
        *(run, truth.attempt("delivered")["id"]),
    )

    assert truth.judge(tmp_path).is_clean


def test_duplicates_that_a_policy_asked_for_are_reported_and_paid(truth, tmp_path):
    truth.at_least_once = frozenset({truth.attempt("delivered")["account"]})
    send_and_deliver_twice(truth)

    verdict = truth.judge(tmp_path)
    assert verdict.is_clean
    assert verdict.reported["duplicates"].count == 1
    assert all(sums.difference == 0 for sums in verdict.sums.values())


def test_a_late_send_of_a_process_that_had_been_stopped_is_told_apart(truth, tmp_path):
    call_after_the_deadline(truth)
    line = truth.find("called")
    called_at = dt.datetime.fromisoformat(line["received_at"])
    stop = {
        "process": line["channel"],
        "from": (called_at - dt.timedelta(seconds=20)).isoformat(),
        "until": (called_at - dt.timedelta(seconds=1)).isoformat(),
    }
    truth.stops = [stop]
    verdict = truth.judge(tmp_path)
    assert verdict.is_clean
    assert verdict.reported["stopped_sends"].count == 1

    long_before = (called_at - dt.timedelta(seconds=15)).isoformat()
    for other in ({"process": "collector"}, {"until": long_before}):
        truth.stops = [stop | other]
        assert violated(truth.judge(tmp_path)) == {"sends_after_deadline": 1}


def test_a_late_delivery_may_promote_a_message(truth, tmp_path):
    _record(truth, "message_id", truth.attempts[0]["message_id"], "undelivered", "delivered")

    assert truth.judge(tmp_path).is_clean


@pytest.mark.parametrize(
    ("expired", "applied"), [("35 s", "60 s"), ("40.5 s", "60 s"), ("59.5 s", "60 s")]
)
def test_an_expiry_before_or_after_a_receipt_is_not_hasty(truth, tmp_path, expired, applied):
    _wait_for_a_receipt(truth, expired, applied=applied)

    assert truth.judge(tmp_path).is_clean


def test_an_acknowledged_delivery_that_is_nowhere_is_no_unheard_one(truth, tmp_path):
    truth.book("told", truth.attempt("unheard"), 5, word="delivered", status=200)

    assert violated(truth.judge(tmp_path)) == {"not_charged": 1, "receipts_unapplied": 1}


def test_a_ttl_ends_with_the_deadline(truth, tmp_path):
    _expire_after(truth, 21)
    truth.do(
        "UPDATE cascade.messages SET deadline = %s WHERE id = %s",
        *(truth.begun + dt.timedelta(seconds=20), truth.attempt("expired")["message_id"]),
    )

    assert truth.judge(tmp_path).is_clean


def test_an_expiry_that_the_provider_has_told_of_is_not_hasty(truth, tmp_path):
    expire_behind_the_back_of_a_receipt(truth)
    truth.do(
        "UPDATE cascade.receipts SET status = 'expired' WHERE attempt_id = %s",
        truth.attempt("delivered")["id"],
    )
    truth.lines.remove(truth.find("told", client_ref=truth.attempt("delivered")["client_ref"]))

    assert truth.judge(tmp_path).is_clean


def test_a_word_that_nobody_knows_moves_nothing(truth, tmp_path):
    one = next(
        a for a in truth.attempts if a["fate"] == "never called" and a["channel"] != "viber"
    )
    truth.do("ALTER TABLE cascade.attempts DISABLE TRIGGER changed")
    truth.move(one, "cancelled")
    truth.receive(one, "unknown")

    assert truth.judge(tmp_path).is_clean


def test_no_more_than_twenty_examples_are_given(truth, tmp_path):
    truth.do("DELETE FROM cascade.charges")
    [found] = [found for found in truth.judge(tmp_path).violations.values() if found.count]

    assert len(found.examples) == 20 < found.count


def run(dsn: str, directory: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaos.checker", "--database", dsn]
    command += ["--ledger", str(directory / "ledger.jsonl")]
    command += ["--accepted", str(directory / "accepted.jsonl")]
    command += ["--json", str(directory / "figures.json"), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_program_tells_a_person_and_a_machine(bare_database_url, tmp_path):
    url = bare_database_url
    with closing(psycopg2.connect(prepared(url))) as connection, connection.cursor() as cursor:
        Truth(cursor, seed=9, messages=5).judge(tmp_path)  # writes the files
        connection.commit()

    clean = run(url, tmp_path)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert "must be zero" in clean.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["clean"] is True
    assert [figures[name] for name in ("lost", "sum_difference", "exceptions")] == [0, 0, 0]

    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "vk.log").write_text(
        'Traceback (most recent call last):\n  File "/x/cascade/a.py", line 3, in f\nKeyError: 1\n'
    )
    red = run(url, tmp_path, "--logs", str(tmp_path / "logs"))
    assert red.returncode == 1
    assert "KeyError in cascade/a.py:3 f (vk.log:1)" in red.stdout
    assert json.loads((tmp_path / "figures.json").read_text())["exceptions"] == 1


def test_evidence_that_is_missing_is_neither_clean_nor_violated(dsn, tmp_path):
    found = run(dsn, tmp_path)

    assert found.returncode == 2
    assert "ledger.jsonl cannot be read" in found.stderr
