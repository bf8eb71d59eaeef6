"""Reconciling with the sandbox's own ledger file, as it is written."""

from __future__ import annotations

import datetime as dt

import pytest

from cascade.domain.discrepancy import Kind
from cascade.domain.record import Form
from cascade.services.reconcile import Question, hashed_by
from cascade.services.repair import Repaired, repair
from cascade.storage.reconciling import Period
from tests.demo.run import ANNA, BORIS, CLARA, Run


pytestmark = pytest.mark.integration


def repaired(run: Run) -> Repaired:
    question = Question(
        period=Period(run.now() - dt.timedelta(hours=1), run.now()),
        records=(run.path,),
        form=Form(hashed=hashed_by(run.ledger.keyring)),
        echoing=frozenset({"notify-vk", "notify-ok", "smsc"}),
    )
    return repair(run.ledger, question)


def test_what_was_unattributable_and_unheard_is_mended_by_the_ledger(run: Run) -> None:
    told = run.call_one(ANNA)
    run.deliver(run.take(told, told.client_ref))
    unheard = run.call_one(BORIS)
    run.bill(run.take(unheard, unheard.client_ref))
    lost = run.call_one(CLARA, policy="code")
    run.bill(run.accept(lost, "777"))
    run.lose_answer(lost)
    run.expire()

    done = repaired(run)
    assert {one.kind for one in done.first.found} == {Kind.UNHEARD, Kind.UNATTRIBUTABLE}
    assert done.written == {"receipts": 1, "corrections": 1}
    assert done.left.found == ()
    assert repaired(run).written.total() == 0
