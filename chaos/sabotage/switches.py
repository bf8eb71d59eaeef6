"""How each sabotage breaks the product: in a process of its own, before the product starts there.

Nothing of this is in the product's code. Every switch replaces what one guarantee rests on; if the
product has changed so that it does not find that any more, it fails aloud.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import random
import signal
import time

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from sqlalchemy import TextClause, text

from cascade.channels.base import Result, Throttled, Unavailable, Unknown
from cascade.domain import engine, state
from cascade.domain.cascade import Cascade
from cascade.domain.hint import Hint
from cascade.gateway import group_commit
from cascade.services import advance, collect, deliver, settle, tick
from cascade.storage import (
    attempts,
    cascades,
    charges,
    claim,
    conclude,
    database,
    fall_back,
    inbox,
    settle as settling,
    sweep,
)
from cascade.storage.inbox import NewReceipt


# Seconds: a step's lease and TTL are over by then, the task's time is not.
_BEYOND_A_TTL = 30.0

# Seconds between the answer and the commit that should have come before it: time to be killed in.
_LATE = 0.5

_KILLED = 0.1  # of the processes that are between a commit and what should be part of it


class SabotageError(RuntimeError):
    """The product is not what this switch knows: it must be written anew."""


def decisions_without_fence() -> None:
    """What a process that stood still brings back is believed, whatever has become of the row.

    Each process stands still once, with calls in its hands that were throttled.
    """
    _edit(
        settling,
        "_UNSENT",
        (
            "a.tries = refused.tries AND a.state = 'sending'\n        AND a.ended_at IS NULL",
            "true",
        ),
        # A table that knows that an ended step is not due would refuse it.
        ("lease_until = NULL,", "lease_until = NULL, ended_at = NULL,"),
    )
    settled = _was(deliver, "_settle")
    stood_still: list[bool] = []

    def late(deployment: Any, channel: Any, landed: Any, opened: Any) -> Any:
        if not stood_still and any(isinstance(result, Throttled) for _, result in landed):
            stood_still.append(True)
            time.sleep(_BEYOND_A_TTL)  # noqa: TID251  # as a machine that swaps, or is moved
        return settled(deployment, channel, landed, opened)

    _put(deliver, _settle=late)


def facts_refused_late() -> None:
    """A provider's word about an attempt whose step is over is thrown away."""
    hear = engine.hear

    def refuse(cascade: Cascade, word: engine.Word, now: dt.datetime) -> Cascade:
        attempt = cascade.attempt(word.attempt_id)
        return hear(cascade, word, now) if attempt.is_live else cascade

    _put(engine, hear=refuse)


def intent_after_call() -> None:
    """The provider is called first, and what was meant to be written before it afterwards."""
    settled = _was(deliver, "_settle")
    claimed: list[int] = []
    original = claim.claim

    def unclaimed(connection: Any, attempt_ids: Iterable[int], *, lease: float) -> Any:
        point = connection.begin_nested()
        rows = original(connection, attempt_ids, lease=lease)
        point.rollback()
        claimed.extend(one.attempt_id for one in rows)
        return rows

    def after(deployment: Any, channel: Any, landed: Any, opened: Any) -> Any:
        ids, claimed[:] = list(claimed), []
        with deployment.ledger.engine.begin() as connection:
            original(connection, ids, lease=9.0)
        return settled(deployment, channel, landed, opened)

    _put(claim, claim=unclaimed)
    _put(deliver, _settle=after)


def blind_resend() -> None:
    """An answer that never came counts as a call that was never made."""
    sort = _was(settle, "_sort")

    def blind(deployment: Any, kinds: Any, claimed: Any, result: Result) -> None:
        sort(deployment, kinds, claimed, Unavailable("blind") if _is_unknown(result) else result)

    _put(settle, _sort=blind)


def charges_without_constraint() -> None:
    """Every receipt of a delivery charges, and the table has forgotten that it holds one each."""
    _edit(charges, "_BOOK", ("ON CONFLICT (attempt_id) DO NOTHING", ""))

    def again(_: Cascade, new: Cascade) -> Iterable[int]:
        return [one.id for one in new.attempts if one.id is not None and one.is_delivered]

    _put(advance, _newly_delivered=again)


def states_step_back() -> None:
    """The last word wins, whatever was said before."""

    def believe(_: state.AttemptState, new: state.AttemptState) -> bool:
        return new in state.FACTS

    _put(engine, may_hear=believe)
    _edit(attempts, "_UPDATE", ("AND a.state <= r.state", ""))


def clock_of_the_worker() -> None:
    """TTLs are counted by the worker's own clock, which is ten minutes slow."""
    slow = dt.timedelta(minutes=-10)
    _edit(
        claim,
        "_CLAIM",
        (
            f"SELECT {database.CLOCK} AS now",
            f"SELECT {database.CLOCK} + interval '{slow.total_seconds()} s' AS now",
        ),
    )


def acknowledged_before_commit() -> None:
    """The gateway says 2xx first and commits half a second later."""

    async def commit(self: Any, receipts: Sequence[NewReceipt]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda future: future.exception())
        asyncio.get_running_loop().call_later(_LATE, self._waiting.append, (receipts, done))
        asyncio.get_running_loop().call_later(_LATE, self._arrived.set)

    _put(group_commit.GroupCommit, commit=commit)


def no_tick() -> None:
    """Nobody looks at what is due."""
    from workers import tasks  # noqa: PLC0415  # only a worker has it on its path

    def nothing(*_: object) -> Counter[str]:
        return Counter()

    _put(tasks, tick=nothing)


def no_lease() -> None:
    """What one worker is sending, another may take and send as well."""
    _edit(claim, "_CLAIM", ("a.state = 'queued'", "a.state IN ('queued', 'sending')"))
    _edit(
        sweep,
        "_REQUEUE",
        ("a.state IN ('scheduled', 'queued', 'retry')", "a.state <= 'sending'"),
        ("SET state = 'queued',", "SET state = greatest(a.state, 'queued'),"),
        (
            "a.due_at <= (SELECT now FROM clock)",
            "a.due_at <= (SELECT now FROM clock) + interval '7 s'",
        ),
    )
    _put(sweep, due_lanes=lambda _: list(state.Lane))


def locks_in_any_order() -> None:
    """Every back end locks in an order of its own, at leisure, and nobody tries again."""
    by_backend = "ORDER BY md5(id::text || pg_backend_pid()) FOR NO KEY UPDATE"
    slow_text = ("SELECT CAST(", "SELECT CAST(pg_sleep(0.005) AS text) || CAST(")
    slow_row = ("SELECT id,", "SELECT pg_sleep(0.005), id,")
    for module, name, slowly in (
        (cascades, "LOCK_MESSAGES", slow_text),
        (cascades, "_SKIP", slow_text),
        (cascades, "_LOCK_ATTEMPTS", slow_row),
        (fall_back, "LOCK_MESSAGES", slow_text),
        (fall_back, "_HOLD_ATTEMPTS", slow_text),
        (conclude, "_HOLD_MESSAGES", slow_text),
        (conclude, "_CONCLUDE_ATTEMPTS", slow_row),
    ):
        _edit(module, name, ("ORDER BY id FOR NO KEY UPDATE", by_backend), slowly)
    _put(database, is_transient=lambda _: False)


def step_outside_transaction() -> None:
    """The next step is opened after the commit that ended the one before it.

    One in ten times the process is killed in between.
    """
    insert = _was(cascades, "insert_attempts")
    late: list[Any] = []

    def later(_: Any, opened: Iterable[Any], now: dt.datetime) -> list[Hint]:
        late.append((list(opened), now))
        return []

    def publishing(original: Callable[..., Any]) -> Callable[..., Any]:
        def then(ledger: Any, *given: Any, **named: Any) -> Any:
            result = original(ledger, *given, **named)
            _open_late(ledger, late, insert)
            return result

        return then

    _put(cascades, insert_attempts=later)
    _put(settle, _fall_back=lambda *_: fall_back.FellBack())
    for module, name in (
        (settle, "advance_all"),
        (tick, "advance_all"),
        (collect, "_collect_set"),
    ):
        _put(module, **{name: publishing(_was(module, name))})


def expiry_ignores_inbox() -> None:
    """A step expires although its receipt lies in the inbox."""
    _edit(
        sweep,
        "_EXPIRED",
        ("WHERE u.account = a.account AND u.client_ref = a.client_ref", "WHERE false"),
        ("WHERE n.attempt_id = a.id", "WHERE false"),
        ("WHERE l.account = a.account", "WHERE false"),
    )
    _put(sweep, awaiting=lambda *_: set())


def receipts_by_provider_reference() -> None:
    """A receipt finds its attempt by the provider's reference only."""
    _edit(inbox, "_MATCH", ("WHERE a.client_ref = r.client_ref AND", "WHERE false AND"))


SWITCHES: Mapping[str, Callable[[], None]] = {
    switch.__name__: switch
    for switch in (
        decisions_without_fence,
        facts_refused_late,
        intent_after_call,
        blind_resend,
        charges_without_constraint,
        states_step_back,
        clock_of_the_worker,
        acknowledged_before_commit,
        no_tick,
        no_lease,
        locks_in_any_order,
        step_outside_transaction,
        expiry_ignores_inbox,
        receipts_by_provider_reference,
    )
}


def _was(owner: object, name: str) -> Any:
    """What is to be replaced; raises SabotageError if it is not there."""
    if not hasattr(owner, name):
        raise SabotageError(f"{owner} has no {name}")
    return getattr(owner, name)


def _put(owner: object, **new: object) -> None:
    for name, value in new.items():
        _was(owner, name)
        setattr(owner, name, value)


def _edit(module: ModuleType, name: str, *changes: tuple[str, str]) -> None:
    """Replaces parts of a statement; raises SabotageError if one of them is not there."""
    statement: TextClause = _was(module, name)
    words = statement.text
    for old, new in changes:
        if old not in words:
            raise SabotageError(f"{module.__name__}.{name} has no {old!r}")
        words = words.replace(old, new)
    _put(module, **{name: text(words)})


def _is_unknown(result: Result) -> bool:
    return isinstance(result, Unknown)


def _open_late(ledger: Any, late: list[Any], insert: Callable[..., list[Hint]]) -> None:
    while late:
        opened, now = late.pop()
        if not opened:
            continue
        if random.random() < _KILLED:  # noqa: S311  # chance, not a secret
            os.kill(os.getpid(), signal.SIGKILL)
        with ledger.engine.begin() as connection:
            hints = insert(connection, opened, now)
        ledger.publish(hints)
