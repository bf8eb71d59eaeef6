"""Posting webhooks to customers' endpoints, for the events that they want to hear of."""

from __future__ import annotations

import logging
import random
import time

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection

from cascade.callbacks.body import message_body
from cascade.callbacks.poster import Posted, Poster
from cascade.domain.callback import Webhook
from cascade.services.deployment import SETTLE_PATIENCE, Ledger, seconds
from cascade.services.sealed import open_key
from cascade.storage.database import transaction
from cascade.storage.endpoints import Answered, claim_webhooks, note_answers
from cascade.storage.events import Outcome, settle_callbacks
from cascade.storage.sealing import UnsealableError
from cascade.storage.sweep import begin


log = logging.getLogger(__name__)

PAUSE = seconds(0.9)  # two beats, a second apart each, make one run a second
WORKING = 10.0  # seconds after which a run leaves the rest to the next one
BREATH = 0.1  # seconds for which an answer is waited for, before more is claimed
LEASE = seconds(60.0)  # above a call's deadline and the run that hears how it ended

# Seconds after each failed try, as Standard Webhooks has them: ten tries within 75.6 hours.
PAUSES = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = (
    0.1  # of a pause, that is added at most: a crowd that failed at once must not come at once
)


def post(ledger: Ledger, poster: Poster, *, working: float = WORKING) -> Counter[str]:
    """Posts what is due, at least once each and in order per message; counts what it did.

    No endpoint waits for another one: what is due is claimed while others have not answered yet.
    Calls that are still under way after `working` seconds are settled by this process's next run;
    those of a process that dies come again.
    """
    tally: Counter[str] = Counter()
    if not transaction(ledger.engine, lambda c: begin(c, "post", PAUSE)):
        tally["second"] = 1
        return tally
    stop_at = time.monotonic() + working
    _settle(ledger, poster.collect(0), tally)
    while time.monotonic() < stop_at:
        claimed = _claim(ledger, poster)
        tally["claimed"] += len(claimed)
        _start(ledger, poster, claimed)
        posted = poster.collect(BREATH)
        _settle(ledger, posted, tally)
        if not (claimed or posted or poster.in_flight):
            break
    return tally


def _claim(ledger: Ledger, poster: Poster) -> list[Webhook]:
    return transaction(
        ledger.engine,
        lambda c: claim_webhooks(c, poster.rooms, quota=poster.room, lease=LEASE),
    )


def _start(ledger: Ledger, poster: Poster, claimed: Sequence[Webhook]) -> None:
    for webhook in claimed:
        poster.post(webhook, message_body(webhook, _key(ledger, webhook)))


def _key(ledger: Ledger, webhook: Webhook) -> str | None:
    """The caller's key; a message that no key of ours opens is told of without it."""
    try:
        return open_key(ledger.keyring, webhook.message_id, webhook.content)
    except UnsealableError as error:
        log.error(  # noqa: TRY400  # where it came from says nothing
            "a message cannot be opened: %s",
            type(error).__name__,
            extra={"message_id": webhook.message_id},
        )
        return None


def _settle(ledger: Ledger, posted: Sequence[Posted], tally: Counter[str]) -> None:
    if not posted:
        return
    answers, outcomes = _answers(posted), [_outcome(one) for one in posted]

    def work(connection: Connection) -> tuple[list[str], list[int]]:
        return note_answers(connection, answers), settle_callbacks(connection, outcomes)

    disabled, given_up = transaction(ledger.engine, work, patience=SETTLE_PATIENCE)
    _tell(posted, disabled, given_up)
    tally["told"] += sum(one.error is None for one in posted)
    tally["failed"] += sum(one.error is not None for one in posted)
    tally["given_up"] += len(given_up)
    tally["disabled"] += len(disabled)


def _answers(posted: Sequence[Posted]) -> list[Answered]:
    """One for each endpoint: it is well if it took any of them."""
    of_each: dict[str, list[Posted]] = defaultdict(list)
    for one in posted:
        of_each[one.webhook.endpoint].append(one)
    return [
        Answered(
            name=name,
            was_told=any(one.error is None for one in ours),
            is_gone=any(one.is_gone for one in ours),
            error=ours[-1].error,
        )
        for name, ours in of_each.items()
    ]


def _outcome(posted: Posted) -> Outcome:
    if posted.error is None:
        return Outcome(callback=posted.webhook, was_told=True)
    return Outcome(callback=posted.webhook, pause=_pause(posted))


def _pause(posted: Posted) -> float | None:
    tries = posted.webhook.tries
    if tries > len(PAUSES):
        return None
    pause = PAUSES[tries - 1] * (1 + JITTER * random.random())  # noqa: S311  # no secret
    return max(pause, posted.retry_after or 0)


def _tell(posted: Sequence[Posted], disabled: Sequence[str], given_up: Sequence[int]) -> None:
    for one in posted:
        if one.error is not None:
            log.warning(
                "endpoint %s: %s",
                one.webhook.endpoint,
                one.error,
                extra={"event_id": one.webhook.event_id},
            )
    for name in disabled:
        log.error("endpoint %s is disabled: it takes no webhook", name)
    if given_up:
        log.error("callers will not be told", extra={"event_ids": given_up})
