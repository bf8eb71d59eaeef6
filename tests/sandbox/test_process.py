"""The command: says where it listens, serves, and stops when it is told to."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from pathlib import Path

import pytest
import requests

from cascade.sandbox.app import Sandbox, read_config
from cascade.sandbox.clock import Tempo
from cascade.sandbox.ledger import Ledger


ROOT = Path(__file__).parents[2]
CONFIG = """
[smsc]
login = "shop"
password = "secret"
senders = ["SHOP"]
prices = [{ prefix = "+7", unit = "segment", price = "2.35", currency = "RUB" }]
"""
SMS = {
    "login": "shop",
    "psw": "secret",
    "fmt": "3",
    "charset": "utf-8",
    "phones": "79160011116",
    "mes": "Заказ 42 готов",
    "sender": "SHOP",
}


@pytest.fixture
def started(tmp_path):
    config, ledger = tmp_path / "sandbox.toml", tmp_path / "ledger.jsonl"
    config.write_text(CONFIG, "utf-8")
    command = [sys.executable, "-m", "cascade.sandbox", "--port", "0", "--seed", "7"]
    command += ["--config", str(config), "--ledger", str(ledger), "--scale", "0.05"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process, ledger
        process.kill()


def test_it_serves_and_a_sigterm_stops_it_cleanly(started):
    process, ledger = started
    line = process.stdout.readline()
    ready = re.fullmatch(r"sandbox ready on (http://127\.0\.0\.1:\d+)\n", line)
    assert ready
    url = ready[1]
    assert requests.get(f"{url}/health", timeout=5).status_code == 200
    answer = requests.post(f"{url}/smsc/sys/send.php", data=SMS, timeout=5).json()
    process.terminate()
    assert process.wait(timeout=10) == 0
    assert process.stderr.read() == ""
    lines = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    assert [(line["event"], line["ref"]) for line in lines] == [
        ("called", answer["id"]),
        ("accepted", answer["id"]),
    ]


def test_an_account_nobody_serves_is_refused_when_it_starts(tmp_path):
    with pytest.raises(ValueError, match="no provider serves the account fax"):
        Sandbox({"fax": {}}, ledger=Ledger(tmp_path / "ledger.jsonl"), seed=1, tempo=Tempo())


def test_the_config_of_the_page_is_read(tmp_path):
    page = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
    config = tmp_path / "sandbox.toml"
    example = re.search(r"```toml\n(.+?)```", page, re.DOTALL)
    assert example
    config.write_text(example[1], "utf-8")
    Sandbox(read_config(config), ledger=Ledger(tmp_path / "ledger.jsonl"), seed=1, tempo=Tempo())


def test_a_name_in_the_config_is_the_environments(tmp_path, monkeypatch):
    config = tmp_path / "sandbox.toml"
    config.write_text('[smsc]\npassword = "${SANDBOX_TEST_PASSWORD}"\n', "utf-8")
    with pytest.raises(ValueError, match="SANDBOX_TEST_PASSWORD is not set"):
        read_config(config)
    monkeypatch.setenv("SANDBOX_TEST_PASSWORD", "given")
    assert read_config(config) == {"smsc": {"password": "given"}}
