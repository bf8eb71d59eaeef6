from __future__ import annotations

import json
import logging
import re

from collections.abc import Iterator

import pytest

from cascade import logs
from cascade.domain.errors import ConfigurationError
from workers.make_app import make_app
from workers.signals import running_task


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def log(root: logging.Logger) -> logging.Logger:
    return logging.getLogger("cascade.services.charge")


def written(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def configure(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    monkeypatch.setenv("CASCADE_LOG_FORMAT", log_format)
    logs.configure(logging.INFO, running_task)


def test_a_line_of_text_says_when_who_what_and_about_which(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
):
    logs.configure(logging.INFO)

    log.error("deliveries were booked unrated", extra={"attempt_ids": [4, 5]})

    assert re.fullmatch(
        TIME
        + r" ERROR cascade\.services\.charge: deliveries were booked unrated attempt_ids=4,5\n",
        written(capsys),
    )


def test_a_line_of_json_is_one_object_with_the_same(
    log: logging.Logger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    configure(monkeypatch, "json")

    log.error("Заказ:\n%s", "x", extra={"attempt_ids": [4, 5], "codes": {"b": 1}})

    line = written(capsys)
    assert line.count("\n") == 1
    found = json.loads(line)
    assert re.fullmatch(TIME, found.pop("time"))
    assert found == {
        "level": "ERROR",
        "logger": "cascade.services.charge",
        "message": "Заказ:\nx",
        "attempt_ids": [4, 5],
        "codes": {"b": 1},
    }


def test_a_traceback_is_a_field_and_no_further_line(
    log: logging.Logger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    configure(monkeypatch, "json")

    try:
        int("one")
    except ValueError:
        log.exception("it failed")

    line = written(capsys)
    assert line.count("\n") == 1
    assert "ValueError" in json.loads(line)["traceback"]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_only_ids_and_names_are_taken_over(
    log: logging.Logger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    log_format: str,
):
    configure(monkeypatch, log_format)

    log.warning("it", extra={"phone": "+79161234567", "data": {"args": "canary"}, "account": "a"})

    line = written(capsys)
    assert "account" in line
    assert "7916" not in line
    assert "canary" not in line


def test_what_a_task_logs_names_the_task(
    log: logging.Logger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    configure(monkeypatch, "json")
    app = make_app("memory://")

    @app.task(name="a.task", shared=False)
    def logging_task() -> None:
        log.info("at work")

    logging_task.apply(task_id="an-id")
    log.info("at rest")

    lines = [json.loads(line) for line in written(capsys).splitlines()]
    of_task = {one["message"]: (one.get("task"), one.get("task_id")) for one in lines}
    assert of_task["at work"] == ("a.task", "an-id")
    assert of_task["at rest"] == (None, None)
    [succeeded] = [one for one in lines if "succeeded" in one["message"]]
    assert (succeeded["task"], succeeded["task_id"]) == ("a.task", "an-id")


def test_a_format_that_is_none_is_refused_by_name(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CASCADE_LOG_FORMAT", "xml")

    with pytest.raises(ConfigurationError, match="CASCADE_LOG_FORMAT"):
        logs.configure(logging.INFO)
