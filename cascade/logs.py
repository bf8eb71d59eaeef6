"""Logging of every process of the service: one line an event, for a person or for a collector.

Of what a log call gives as `extra`, only the fields named here are written: ids and names, never a
phone number or a text. In JSON a traceback is one of the fields; in text it follows its line.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict
from pythonjsonlogger.json import JsonFormatter
from typing_extensions import override

from cascade.settings import load


# What a log call may give as `extra`, in the order in which it is written.
FIELDS = (
    "task",  # the Celery task's name
    "task_id",
    "message_id",
    "attempt_id",
    "attempt_ids",
    "receipt_ids",
    "event_id",
    "event_ids",
    "account",
    "channel",
    "lane",
    "codes",  # how often, by the provider's native code
)

# Fields that hold for whatever is logged now, such as the running task.
Context = Callable[[logging.LogRecord], Mapping[str, object]]


class LogSettings(BaseSettings):
    """How logs are written: CASCADE_LOG_FORMAT."""

    model_config = SettingsConfigDict(
        env_prefix="CASCADE_", frozen=True, hide_input_in_errors=True, extra="ignore"
    )

    log_format: Literal["text", "json"] = "text"


def configure(level: int, context: Context = lambda _record: {}) -> None:
    """Sends all logs of `level` and above to stderr, in the format of CASCADE_LOG_FORMAT.

    Raises ConfigurationError if that names no format.
    """
    formats = {"text": TextFormatter, "json": OneObject}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formats[load(LogSettings).log_format](context))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class TextFormatter(logging.Formatter):
    """`2026-11-22T14:03:00.123Z WARNING cascade.gateway.app: a webhook was forged account=smsc`"""

    def __init__(self, context: Context = lambda _record: {}) -> None:
        super().__init__()
        self._context = context

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = _fields(record, self._context).items()
        shown = "".join(f" {name}={_shown(value)}" for name, value in fields)
        return f"{_time(record)} {record.levelname} {record.name}: {record.message}{shown}"


class OneObject(JsonFormatter):
    """A JSON object a line: time, level, logger, message, and the fields."""

    def __init__(self, context: Context = lambda _record: {}) -> None:
        super().__init__()
        self._context = context

    @override
    def add_fields(
        self,
        log_data: dict[str, object],
        record: logging.LogRecord,
        message_dict: dict[str, object],
    ) -> None:
        log_data["time"] = _time(record)
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()
        log_data.update(_fields(record, self._context))
        if record.exc_info:
            log_data["traceback"] = self.formatException(record.exc_info)


def _fields(record: logging.LogRecord, context: Context) -> dict[str, object]:
    given = {**context(record), **vars(record)}
    return {name: given[name] for name in FIELDS if given.get(name) is not None}


def _time(record: logging.LogRecord) -> str:
    moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
