"""All that the judge looks at, and what a check says of it."""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterable
from dataclasses import dataclass

from chaos.checker.journal import Accepted, Stop
from chaos.checker.ledger import Ledger
from chaos.checker.logs import Trouble
from chaos.checker.tables import Tables


EXAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one run that has ended."""

    ledger: Ledger
    tables: Tables
    accepted: list[Accepted]
    stops: list[Stop]
    troubles: list[Trouble]
    at_least_once: frozenset[str]  # accounts at which a policy asks for it
    tolerance: dt.timedelta  # from a call's beginning to its reception


@dataclass(frozen=True, slots=True)
class Finding:
    """How often something was found, with some places where a person can look."""

    count: int
    examples: tuple[str, ...]


def finding(found: Iterable[str]) -> Finding:
    """One for each."""
    each = list(found)
    return Finding(len(each), tuple(each[:EXAMPLES]))
