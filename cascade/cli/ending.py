"""What an error tells the person, and a script, at the end of a command."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import OperationalError as DatabaseError, ProgrammingError

from cascade.cli.exits import INVALID, MISCONFIGURED, UNREACHABLE
from cascade.domain.errors import CascadeError, ConfigurationError, TryAgainError
from cascade.services.reason import finding_of


@dataclass(frozen=True, slots=True)
class Ending:
    """One line for the person, and the exit code."""

    line: str
    code: int


def ending(error: Exception) -> Ending | None:
    """None for an error of our own making, which deserves its traceback."""
    match error:
        case CascadeError():
            return Ending(str(error), _code(error))
        case DatabaseError():
            return _unreachable("database")
        case BrokerError():
            return _unreachable("broker")
        case ProgrammingError():  # a table that is not there
            finding = finding_of(error)
            return Ending(f"database: {finding.seen}; {finding.cure}", MISCONFIGURED)
        case _:
            return None


def _code(error: CascadeError) -> int:
    match error:
        case ConfigurationError():
            return MISCONFIGURED
        case TryAgainError():
            return UNREACHABLE
        case _:
            return INVALID


def _unreachable(what: str) -> Ending:
    return Ending(f"{what}: it cannot be reached; `cascade doctor` says more", UNREACHABLE)
