from __future__ import annotations

import itertools
import signal
import uuid

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from cascade import MessageState
from tests.acceptance.service import Service, phone
from tests.acceptance.waiting import until


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

# Delivered by each channel in turn; the last on VK, whose answer never comes.
FATES = ("11111", "41111", "44111", "44411", "44441", "71111", "33333")
SILENT = "91111"
# Docker's and systemd's patience. It takes two, or a silent call its four; once the collector's pool
# took 32, which may be billiard's: its children wait up to 30 for their last result to be counted.
STOP_SECONDS = 60.0


def stranger(number: int, fate: str) -> str:
    """Nobody twice: an SMS of the same words to the same number is refused for a minute."""
    return f"+791{number // 100 % 6}{number % 100:02}{fate}"


@contextmanager
def flow(service: Service) -> Iterator[list[uuid.UUID]]:
    """Messages are sent all the time; those of all channels, and some whose call hangs."""
    sent: list[uuid.UUID] = []
    ended = Event()

    def run() -> None:
        people = itertools.count()
        while not ended.wait(0.3):
            sent.extend(service.send_many(stranger(next(people), fate) for fate in FATES))

    sent.append(service.send(phone(SILENT, 70)))
    # A receipt may end the attempt while its call still hangs: the provider knows that it began.
    until(lambda: any(service.accepted_events(sent).values()), seconds=30, what="hanging call")
    sending = Thread(target=run)
    sending.start()
    try:
        yield sent
    finally:
        ended.set()
        sending.join()


def restart(service: Service, name: str) -> None:
    """Asks the process to end, as a deployment does, and starts it again."""
    process = service.stack.processes.pop(name)
    process.popen.terminate()
    code = process.popen.wait(STOP_SECONDS)
    service.stack.restart(name)
    assert code in {0, -signal.SIGTERM}, name  # the gateway's server ends by the signal in the end


def test_every_process_is_restarted_in_turn_while_messages_flow_and_nothing_is_lost(
    service: Service,
) -> None:
    names = [*service.stack.workers, "gateway", "beat"]
    before = {name: len(service.log(name)) for name in names}
    with flow(service) as sent:
        for name in names:
            restart(service, name)
    service.await_final(sent, seconds=90)
    service.await_quiet()

    assert {service.status(one).state for one in sent} == {MessageState.DELIVERED}
    assert max(service.accepted_events(sent).values()) == 1
    attempts = service.attempts(sent)
    assert [one.id for one in attempts if one.error == "lease"] == []
    charged = service.rows(
        "SELECT count(*) FROM cascade.charges WHERE attempt_id = ANY(:ids)",
        ids=[one.id for one in attempts],
    )
    assert charged == [(len([one for one in attempts if one.delivered_at]),)]
    for name in names:
        assert "Traceback" not in service.log(name)[before[name] :], name
