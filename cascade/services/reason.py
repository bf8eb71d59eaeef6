"""Why a check failed, in words that hold no secret: addresses carry passwords."""

from __future__ import annotations

import os
import re

from urllib.parse import unquote

from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import DBAPIError

from cascade.domain.errors import ConfigurationError
from cascade.services.finding import Finding, cure_of, red
from cascade.storage.database import error_code


# No schema, table, column or function of this name.
_NO_SCHEMA = ("3F000", "42P01", "42703", "42883")
_CANCELED = "57014"

_NO_SECRET = 2  # so short a piece says nothing

_USER_INFO = re.compile(r"://([^\s]*)@")


def finding_of(error: Exception) -> Finding:
    """What a check that failed with `error` has found."""
    match error:
        case ConfigurationError():
            return red(f"{error.field}: {error.problem}", cure_of(error))
        case DBAPIError():
            return _of_database(error)
        case FileNotFoundError() | PermissionError():
            cure = "let CASCADE_CONFIG_DIR name the directory of the config files"
            return red(f"a file cannot be read: {error.strerror}", cure)
        case BrokerError() | OSError():
            cure = "start the broker, or mend CASCADE_BROKER_URL"
            return red(f"it cannot be reached: {_first_line(error)}", cure)
        case _:
            cure = "this check has failed itself: see that the settings it reads are well formed"
            return red(type(error).__name__, cure)


def _of_database(error: DBAPIError) -> Finding:
    code = error_code(error) or ""
    if code in _NO_SCHEMA:
        return red("the schema is missing or older than this code", "run `cascade migrate`")
    if code == _CANCELED:
        cure = "see what loads the database (pg_stat_activity), and vacuum and analyze its tables"
        return red("the database gave up after 2 s", cure)
    seen = f"the database cannot be asked: {_first_line(error.orig)}"
    return red(seen, "start PostgreSQL, or mend CASCADE_DATABASE_URL and the rights of its user")


def _first_line(error: object) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for secret in _secrets():
        line = line.replace(secret, "…")
    return line


def _secrets() -> list[str]:
    """The user's part of every address in the environment, whole and in its pieces, longest first."""
    found: set[str] = set()
    for name, value in os.environ.items():
        info = _USER_INFO.search(value) if name.startswith("CASCADE_") else None
        if info:
            _, _, password = info[1].partition(":")
            found |= {info[1], password, unquote(password), *re.split(r"[/#?]", password)}
    return sorted((one for one in found if len(one) > _NO_SECRET), key=len, reverse=True)
