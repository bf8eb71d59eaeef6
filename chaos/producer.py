"""`python -m chaos.producer`: an app that sends until every one of its messages is accepted.

It may be killed at any moment: the next start goes on after what its journal says was accepted.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import os
import random
import time
import uuid

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import IO

from sqlalchemy.exc import SQLAlchemyError

from cascade import Cascade, OnStatus, PolicyStep, Row, TryAgainError
from demo.campaign import TEMPLATES, TEXT


log = logging.getLogger("chaos.producer")

SET = 25  # messages in one call of send_many
PAUSE = 0.5  # seconds before a call is repeated
_PREFIXES = ("903", "905", "906", "909", "910", "915", "916", "917", "925", "926", "929", "961")
CALLBACKS = OnStatus(task="shop.told", queue="shop", broker="shop")

# Each ends with SMS, as policies do.
POLICIES: Sequence[Sequence[PolicyStep]] = (
    ({"channel": "vk", "ttl": "15s"}, {"channel": "sms", "ttl": "30s"}),
    (
        {"channel": "ok", "ttl": "15s"},
        {"channel": "whatsapp", "ttl": "15s"},
        {"channel": "sms", "ttl": "30s"},
    ),
    ({"channel": "viber", "ttl": "30s"}, {"channel": "sms", "ttl": "30s"}),
    (
        {"channel": "vk", "ttl": "15s"},
        {"channel": "ok", "ttl": "15s"},
        {"channel": "sms", "ttl": "30s"},
    ),
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m chaos.producer", description=__doc__)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--name", required=True, help="of this producer")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="over which they come")
    parser.add_argument("--deadline", type=float, required=True, help="of each, in seconds")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--fates", required=True, help="digits that fates are drawn from")
    return parser.parse_args()


def main() -> None:
    """Sends, journals, and ends when all are accepted."""
    given = arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    known = _journalled(given.journal)
    # Made again for as long as it cannot be made: a database that is away is one of the faults.
    cascade = Cascade.from_env()
    begun = _begun(given.journal)
    with given.journal.open("a", encoding="utf-8") as journal:
        for first, rows in _sets(given):
            if all(row["key"] in known for row in rows):
                continue
            due = begun + given.seconds * first / given.messages
            Event().wait(max(0.0, due - time.time()))
            _accept(cascade, rows, given, journal, number=first // SET)


def _sets(given: argparse.Namespace) -> Iterator[tuple[int, list[Row]]]:
    """The same rows at every start, in sets, each with the number of its first row."""
    for first in range(0, given.messages, SET):
        size = min(SET, given.messages - first)
        yield first, [_row(given, first + place) for place in range(size)]


def _row(given: argparse.Namespace, place: int) -> Row:
    dice = random.Random(f"{given.seed}:{given.name}:{place}")  # noqa: S311  # repeatable
    fates = "".join(dice.choice(given.fates) for _ in range(5))
    return Row(
        to=f"+7{dice.choice(_PREFIXES)}{dice.randrange(100):02d}{fates}",
        key=f"{given.name}-{place}",
        variables={"name": "Мария", "order": f"{place:05d}", "amount": "1 490"},
    )


def _accept(
    cascade: Cascade,
    rows: list[Row],
    given: argparse.Namespace,
    journal: IO[str],
    *,
    number: int,
) -> None:
    """Repeats the call until it is answered; the keys see to it that nothing is sent twice."""
    policy = POLICIES[number % len(POLICIES)]
    while True:
        try:
            report = cascade.send_many(
                rows,
                text=TEXT,
                templates=TEMPLATES,
                policy=policy,
                deadline=_deadline(given, number),
                on_status=CALLBACKS if number % 4 == 0 else None,
                priority="urgent" if number % 10 == 0 else "normal",
            )
        except (TryAgainError, SQLAlchemyError) as error:
            log.info("again: %s", type(error).__name__)
            Event().wait(PAUSE)
        else:
            for row, one in zip(rows, report.ids, strict=True):
                _note(journal, row, one)
            return


def _deadline(given: argparse.Namespace, number: int) -> dt.datetime:
    """The same at every repetition, since it belongs to the request that the key stands for."""
    due = _begun(given.journal) + given.seconds * number * SET / given.messages
    return dt.datetime.fromtimestamp(round(due) + given.deadline, dt.UTC)


def _note(journal: IO[str], row: Row, message_id: uuid.UUID | None) -> None:
    if message_id is None:
        log.error("refused: %s", row["key"])
        return
    line = {"id": str(message_id), "key": row["key"], "at": _now().isoformat()}
    journal.write(json.dumps(line) + "\n")
    journal.flush()
    os.fsync(journal.fileno())


def _now() -> dt.datetime:
    return dt.datetime.fromtimestamp(time.time(), dt.UTC)


def _journalled(path: Path) -> set[str]:
    if not path.exists():
        return set()
    lines = path.read_text("utf-8").splitlines()
    return {str(json.loads(line)["key"]) for line in lines if line.endswith("}")}


def _begun(journal: Path) -> float:
    """When the first start of this producer was, whichever start asks."""
    path = journal.with_suffix(".begun")
    if not path.exists():
        path.write_text(str(time.time()))
    return float(path.read_text())


if __name__ == "__main__":
    main()
