"""Rotating the sealing key: what older keys sealed is sealed again under the first one.

The hash key does not rotate. Producers and workers that do not have the new key yet go on sealing
with the old one, so the end is reached when a look over everything finds no old seal.
"""

from __future__ import annotations

import uuid

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import SecretStr
from sqlalchemy import Engine

from cascade.dispatch import ENQUEUE
from cascade.settings import ProducerSettings
from cascade.storage.database import transaction
from cascade.storage.reseal import (
    MESSAGES,
    TABLES,
    Page,
    SealedRow,
    SealedTable,
    key_id_of,
    page_after,
    prefix_of,
    write,
)
from cascade.storage.sealing import Keyring, UnsealableError


SET = 500  # rows of one transaction
ROUNDS = 3  # rows that somebody held, or that were new, are met by the next one


class KeySettings(ProducerSettings):
    """The keys, for work that needs no broker."""

    broker_url: SecretStr = SecretStr("")


@dataclass(slots=True)
class Rotation:
    """What was done so far; `closed` is counted by the id of the key that sealed."""

    round: int = 0
    looked: int = 0  # rows of this round
    looked_in_all: int = 0
    stale: int = 0  # those of them that other keys had sealed
    closed: Counter[str] = field(default_factory=Counter)  # and those that no key opens
    resealed: Counter[str] = field(default_factory=Counter)  # in all rounds, by table

    def doubts(self, waiting_requests: int | None) -> list[str]:
        """Why the old keys are still needed; a line each.

        `waiting_requests` are those in the broker, None if it could not be asked.
        """
        found = [
            f"{count} rows of key {key_id!r} cannot be opened: give its key in CASCADE_SEAL_KEYS"
            for key_id, count in sorted(self.closed.items())
        ]
        if self.stale > self.closed.total():
            found.append(
                f"{self.stale - self.closed.total()} rows were new under an old key, or held: start"
                " what does not have the new key yet again with it, and run this again"
            )
        if waiting_requests is None:
            found.append(
                "the broker was not asked whether sealed requests wait in it: run this again"
            )
        elif waiting_requests:
            found.append(
                f"{waiting_requests} requests wait in `{ENQUEUE}`, maybe sealed by an old key: run"
                " this again when they are through"
            )
        return found


def reseal(
    engine: Engine,
    keyring: Keyring,
    key_id: str,
    progress: Callable[[Rotation], None],
    *,
    size: int = SET,
) -> Rotation:
    """Seals under the key `key_id`, the first of `keyring`, whatever other keys sealed.

    Works in small transactions that hold up nobody, and can be cut off and run again at any time.
    `progress` is called after each set of `size` rows.
    """
    done = Rotation()
    while done.round == 0 or (_may_find_more(done) and done.round < ROUNDS):
        done.round += 1
        done.looked, done.stale, done.closed = 0, 0, Counter()
        for table in TABLES:
            for page in _pages(engine, table, prefix_of(key_id), size):
                done.resealed[table.name] += _reseal(engine, keyring, table, page, done)
                done.looked += page.looked
                done.looked_in_all += page.looked
                done.stale += len(page.stale)
                progress(done)
    return done


def _may_find_more(done: Rotation) -> bool:
    return done.stale > done.closed.total()


def _pages(engine: Engine, table: SealedTable, prefix: bytes, size: int) -> Iterator[Page]:
    after: uuid.UUID | int | None = table.before
    while after is not None:
        look = partial(page_after, table=table, after=after, prefix=prefix, size=size)
        page = transaction(engine, look)
        yield page
        after = page.last


def _reseal(
    engine: Engine, keyring: Keyring, table: SealedTable, page: Page, done: Rotation
) -> int:
    fresh = []
    for row in page.stale:
        try:
            fresh.append(_sealed_again(keyring, table, row))
        except UnsealableError:
            done.closed[key_id_of(row.values[0])] += 1
    return transaction(engine, lambda c: write(c, table, fresh)) if fresh else 0


def _sealed_again(keyring: Keyring, table: SealedTable, row: SealedRow) -> SealedRow:
    contexts = _contexts(table, row)
    values = zip(row.values, contexts, strict=True)
    return replace(
        row,
        values=tuple(keyring.seal(keyring.open(value, how), how) for value, how in values),
    )


def _contexts(table: SealedTable, row: SealedRow) -> tuple[str, ...]:
    """As `cascade.services.sealed` binds them."""
    if table is MESSAGES:
        return f"recipient:{row.id}", f"content:{row.id}"
    return (f"receipt:{row.account}",)
