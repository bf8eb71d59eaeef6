from __future__ import annotations

import pytest

from cascade.channels.base import HttpRequest, Rejected, Unavailable, Unknown
from cascade.channels.exchange import Ambiguous, Exchange, NotSent, requests_for, results
from cascade.channels.polling import poll_requests_for, receipts
from cascade.domain.message import Template
from tests.channels.samples import an_item, answer


UNSAYABLE = Template("welcome", "ru", {})


def test_a_good_set_is_built_as_one(devino):
    requests, rejected = requests_for(devino, [an_item(1), an_item(2)])
    assert [len(request.items) for request in requests] == [2]
    assert rejected == {}


def test_no_items_make_no_request(devino):
    assert requests_for(devino, []) == ([], {})


def test_one_unsayable_item_is_rejected_and_its_neighbours_go_out(devino):
    items = [an_item(n, body=UNSAYABLE if n == 5 else None) for n in range(8)]
    requests, rejected = requests_for(devino, items)
    assert rejected == {5: Rejected("unbuildable:UnsayableError")}
    sent = [item.attempt_id for request in requests for item in request.items]
    assert sent == [0, 1, 2, 3, 4, 6, 7]


def test_a_fault_before_the_first_byte_makes_every_item_unavailable(devino):
    (request,) = devino.requests_for([an_item(1), an_item(2)])
    exchange = Exchange(request=request, outcome=NotSent("NewConnectionError"))
    assert [result for _, result in results(devino, exchange)] == [
        Unavailable("NewConnectionError"),
        Unavailable("NewConnectionError"),
    ]


def test_a_fault_after_it_makes_every_item_unknown(devino):
    (request,) = devino.requests_for([an_item(1), an_item(2)])
    exchange = Exchange(request=request, outcome=Ambiguous("deadline"))
    assert [result for _, result in results(devino, exchange)] == [Unknown("deadline")] * 2


@pytest.mark.parametrize("given", [0, 1, 3])
def test_a_positional_mismatch_makes_the_whole_call_unknown(devino, given):
    (request,) = devino.requests_for([an_item(1), an_item(2)])
    rows = ",".join(['{"providerId":1,"code":"ok"}'] * given)
    outcome = answer(f'{{"status":"ok","messages":[{rows}]}}')
    told = results(devino, Exchange(request=request, outcome=outcome))
    assert [result for _, result in told] == [Unknown("unreadable:ValueError")] * 2


def test_a_question_that_cannot_be_asked_is_left_out(smsc):
    assert poll_requests_for(smsc, []) == []


def test_a_lost_answer_to_a_poll_is_no_answer(smsc):
    request: HttpRequest = HttpRequest(method="POST", url="", headers={})
    for outcome in (NotSent("x"), Ambiguous("x"), answer("<html>")):
        assert receipts(smsc, Exchange(request=request, outcome=outcome)) is None
