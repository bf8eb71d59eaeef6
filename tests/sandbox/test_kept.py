"""What the ledger has written is whole lines, and on the disk before anybody hears of it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from cascade.sandbox.clock import now
from cascade.sandbox.faults import Kind
from cascade.sandbox.ledger import Call, Ledger
from cascade.sandbox.outcomes import Channel
from tests.sandbox.numbers import ambiguous_phone
from tests.sandbox.running import phone_for


ROOT = Path(__file__).parents[2]
WHOLE = '{"event": "accepted"}\n'


class Disk:
    """A disk that is done when it is told so."""

    def __init__(self) -> None:
        self.syncs = 0
        self.begun = threading.Event()
        self.done = threading.Event()

    def sync(self, _descriptor: int) -> None:
        self.syncs += 1
        self.begun.set()
        assert self.done.wait(5)


@pytest.fixture
def disk():
    disk = Disk()
    yield disk
    disk.done.set()


def test_no_send_is_answered_before_the_disk_has_it(sandbox_in, receiver, disk):
    sandbox = sandbox_in(sync=disk.sync)
    with ThreadPoolExecutor() as threads:
        sent = threads.submit(sandbox.notify)
        assert disk.begun.wait(5)
        with pytest.raises(TimeoutError):
            sent.result(timeout=0.2)
        assert receiver.heard == []
        disk.done.set()
        assert sent.result(timeout=5).status_code == 200
    assert len(receiver.hear(2)) == 2


@pytest.mark.parametrize("refused", [True, False])
def test_neither_an_sms_nor_its_refusal_is_answered_before(sandbox_in, disk, refused):
    sandbox = sandbox_in(sync=disk.sync)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(sandbox.sms, sender="OTHER" if refused else "SHOP")
        assert disk.begun.wait(5)
        assert not answer.done()
        disk.done.set()
        assert ("error_code" in answer.result(timeout=5).json()) == refused


def test_no_connection_is_reset_before(sandbox_in, disk):
    sandbox = sandbox_in(sync=disk.sync, ambiguous=1)
    phone = ambiguous_phone(Channel.VK, "notify-vk", Kind.RESET, accepted=True)
    with ThreadPoolExecutor() as threads:
        sent = threads.submit(sandbox.notify, phone=phone)
        assert disk.begun.wait(5)
        with pytest.raises(TimeoutError):
            sent.result(timeout=0.2)
        disk.done.set()
        assert isinstance(sent.exception(timeout=5), requests.ConnectionError)


def test_one_sync_serves_all_that_waited_for_it(tmp_path):
    syncs: list[int] = []
    ledger = Ledger(tmp_path / "ledger.jsonl", sync=syncs.append)
    ledger.open()
    call = Call(
        account="smsc", channel="sms", client_ref=None, phone=None, ttl=None, received_at=now()
    )

    async def write_and_wait():
        ledger.call(call, ref=None, accepted=False, code="1")
        await ledger.kept()

    async def many():
        await asyncio.gather(*(write_and_wait() for _ in range(500)))
        await ledger.kept()

    asyncio.run(many())
    assert len(ledger.path.read_text("utf-8").splitlines()) == 500
    assert 1 <= len(syncs) <= 2
    ledger.close()


@pytest.mark.parametrize("unfinished", ["", '{"event": "deliv', WHOLE.strip()])
@pytest.mark.parametrize("whole", [0, 1, 100])
def test_a_last_line_that_a_crash_left_unfinished_is_cut_off(tmp_path, whole, unfinished):
    path = tmp_path / "ledger.jsonl"
    path.write_text(WHOLE * whole + unfinished, "utf-8")
    ledger = Ledger(path)
    ledger.open()
    ledger.close()
    assert path.read_text("utf-8") == WHOLE * whole


def test_a_sigkill_in_the_middle_leaves_whole_lines_and_all_that_was_answered(tmp_path):
    config, path = tmp_path / "sandbox.toml", tmp_path / "ledger.jsonl"
    config.write_text('[smsc]\nlogin = "shop"\npassword = "secret"\nsenders = ["SHOP"]\n', "utf-8")
    command = [sys.executable, "-m", "cascade.sandbox"]
    command += ["--config", str(config), "--ledger", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ready = re.search(r"http\S+", process.stdout.readline())
        assert ready
        answered = send_until_it_dies(process, f"{ready[0]}/smsc/sys/send.php")
    text = path.read_text("utf-8")
    assert text.endswith("\n")
    lines = [json.loads(line) for line in text.splitlines()]
    accepted = {line["client_ref"] for line in lines if line["event"] == "accepted"}
    assert len(answered) >= 50
    assert answered <= accepted


def send_until_it_dies(process, url):
    """The references that were answered; the process is killed while others are under way."""
    answered = set()

    def send(worker):
        for number in range(1000):
            ref = f"{worker}-{number}"
            form = {"login": "shop", "psw": "secret", "fmt": "3", "charset": "utf-8"}
            form |= {"id": ref, "phones": phone_for(Channel.SMS, 1), "mes": ref, "sender": "SHOP"}
            try:
                answer = requests.post(url, data=form, timeout=30)
            except requests.RequestException:
                return
            answered.add(answer.json()["id"])
            if len(answered) >= 50:
                process.kill()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(send, range(4)))
    return answered
