"""What a check found, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cascade.domain.errors import ConfigurationError


_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Health(StrEnum):
    """How things stand, from well to broken."""

    OK = "ok"
    WARNING = "warning"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, and what to do about it where that is not well; a line each."""

    state: Health
    seen: str
    cure: str = ""


def ok(seen: str) -> Finding:
    """All is well."""
    return Finding(Health.OK, seen)


def warning(seen: str, cure: str) -> Finding:
    """It works, and somebody should look."""
    return Finding(Health.WARNING, seen, cure)


def red(seen: str, cure: str) -> Finding:
    """Something is broken."""
    return Finding(Health.RED, seen, cure)


def graded(value: float, seen: str, cure: str, *, warn_above: float, red_above: float) -> Finding:
    """Judges a value that grows with the trouble."""
    if value > red_above:
        return red(seen, cure)
    return warning(seen, cure) if value > warn_above else ok(seen)


def problems(error: ConfigurationError) -> list[str]:
    """Each problem that the error names, with its cure; a line each."""
    head, *lines = error.cure.splitlines() or [""]
    return lines if head == "mend:" else [str(error).replace("\n", " ")]


def cure_of(error: ConfigurationError) -> str:
    """What to do about all that the error names, in one line."""
    return "; ".join(problems(error)) if error.cure.startswith("mend:\n") else error.cure


def span(seconds: float) -> str:
    """A time to be read at a glance: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
