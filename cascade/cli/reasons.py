"""Why an attempt went as it went, in plain words."""

from __future__ import annotations

import datetime as dt

from typing import assert_never

from cascade.cli.figures import clock, money, span
from cascade.domain.state import AttemptState, MessageState, Success
from cascade.storage.status import AttemptStatus, MessageStatus, ReceiptStatus


# What a provider's word means. Those that are no word of a provider stand for themselves.
MEANINGS = {
    **{state: state.value for state in AttemptState},
    AttemptState.UNKNOWN: "a word that is not known here",
    AttemptState.SENT: "on its way",
    AttemptState.UNSUPPORTED: "not a user of this channel",
    AttemptState.REJECTED: "refused, which is ours to mend",
    AttemptState.EXPIRED: "its time was over at the provider",
    AttemptState.UNDELIVERABLE: "cannot be delivered",
}

# Codes that people meet often and can mend, whichever account gives them.
_CURES = {
    "131047": 'a text outside of the 24 hours; give templates={"whatsapp": …}',
    "INCORRECT_SIGNATURE": (
        "the signature is not the account's;"
        " mend the account's client secret, or this machine's clock by NTP"
    ),
    "NOT_ALLOWED_IP": "this machine's address is not known there; have the provider add it",
    "UNSUPPORTED_TEMPLATE": (
        "the text is none of the moderated templates; compare them letter by letter"
    ),
}

_NO_CODE = ("", "0")

_SKIPPED = {"deadline": "too little time is left before the deadline"}

_REFUSALS = frozenset(
    {AttemptState.UNSUPPORTED, AttemptState.REJECTED, AttemptState.UNDELIVERABLE}
)


def called(attempt: AttemptStatus) -> str:
    """Whom was it given to, and how often."""
    more = f", {attempt.tries} times in all" if attempt.tries > 1 else ""
    return f"{attempt.account} is called{more}"


def unclear(attempt: AttemptStatus) -> str:
    """What is known of a call that ended without a clear answer."""
    nobody_knows = "nobody knows whether it was taken, so it is not sent again"
    is_its_own = attempt.state in {AttemptState.UNKNOWN, AttemptState.EXPIRED}
    if not is_its_own or _cause(attempt) is not None:  # the error is that of a later word
        return f"no clear answer: {nobody_knows}"
    if attempt.error == "lease":
        return f"the worker was lost during the call: {nobody_knows}"
    return f"no clear answer ('{attempt.error}'): {nobody_knows}"


def native(receipt: ReceiptStatus) -> str:
    """The provider's own words: `'undelivered' (not-viber-user)`."""
    code = "" if receipt.native_code in _NO_CODE else f" ({receipt.native_code})"
    return f"'{receipt.native_status}'{code}"


def meaning(state: AttemptState, code: str | None) -> str:
    """What a provider's word means, with the cure where the code is known for one."""
    return _CURES.get(code or "", MEANINGS[state])


def delivery_heard_at(attempt: AttemptStatus) -> dt.datetime | None:
    """When its delivery came in, which is before it was applied; None if it was not delivered."""
    receipt = _delivery(attempt)
    if attempt.delivered_at is None or receipt is None:
        return attempt.delivered_at
    return receipt.received_at


def effect(status: MessageStatus, attempt: AttemptStatus, receipt: ReceiptStatus) -> str:
    """What this receipt brought about; empty if nothing."""
    if receipt is _delivery(attempt):
        return _charged(attempt) + _wanted(attempt, receipt) + _late(status, attempt)
    if receipt is _cause(attempt):
        return _next(status, attempt)
    return ""


def ended_by_us(attempt: AttemptStatus) -> bool:
    """Whether the step ended otherwise than by a receipt: an answer, the time, a rule, a wish."""
    return attempt.ended_at is not None and not _met(attempt) and _cause(attempt) is None


def end(status: MessageStatus, attempt: AttemptStatus) -> str:
    """Why the step ended, and what came next."""
    return _why(status, attempt) + _next(status, attempt)


def waiting(attempt: AttemptStatus) -> str:
    """What an attempt that has not ended waits for."""
    until = clock(attempt.expires_at)
    match attempt.state:
        case AttemptState.SCHEDULED:
            return "waits for its start"
        case AttemptState.QUEUED:
            return f"waits for a worker, until {until} at most"
        case AttemptState.RETRY:
            return f"will be called again: it was not taken ('{attempt.error}')"
        case AttemptState.SENDING:
            return "is being called"
        case AttemptState.DELIVERED:
            return f"waits to be read, until {until}"
        case _:
            return f"waits for a receipt, until {until}"


def _why(status: MessageStatus, attempt: AttemptStatus) -> str:
    if attempt.state is AttemptState.CANCELLED:
        return _cancelled(status)
    if attempt.state is AttemptState.SKIPPED:
        rule = attempt.error or "no reason is kept"
        return f"skipped: {_SKIPPED.get(rule, rule)}"
    if attempt.state in _REFUSALS:
        return f"'{attempt.error}': {meaning(attempt.state, attempt.error)}"
    return _over(status, attempt)


def _cancelled(status: MessageStatus) -> str:
    if status.state is MessageState.CANCELLED:
        return "not sent: the message was cancelled"
    return f"not sent: the message was delivered over {status.channel}"


def _over(status: MessageStatus, attempt: AttemptStatus) -> str:
    """The step's time was over; what came later is told where it came."""
    if attempt.error == "rate_limit":  # it was given up at once: nothing was waited for
        return f"not sent: by the rate of {attempt.account} its turn would have come too late"
    if attempt.started_at is None:
        opened = max(attempt.created_at, status.send_at or attempt.created_at)
        return f"not sent within {span(attempt.expires_at - opened)} of waiting: expired"
    within = f"within its {span(_time(attempt))}"
    if _is_by(attempt.delivered_at, attempt):
        return f"not read {within}"
    if _is_by(attempt.sent_at, attempt):
        return f"not delivered {within}: expired"
    if attempt.unknown_at is not None:
        return f"no receipt {within}: expired"
    code = f" ('{attempt.error}')" if attempt.error else ""
    return f"not taken {within}{code}: expired"


def _time(attempt: AttemptStatus) -> dt.timedelta:
    """What the step had for the sending: its TTL, or less if the deadline came before."""
    given = attempt.expires_at - (attempt.started_at or attempt.created_at)
    return min(given, dt.timedelta(seconds=attempt.ttl))


def _next(status: MessageStatus, attempt: AttemptStatus) -> str:
    place = status.attempts.index(attempt) + 1
    following = status.attempts[place] if place < len(status.attempts) else None
    if following is not None and following.created_at >= (
        attempt.ended_at or following.created_at
    ):
        return f", so {following.channel} was next"
    is_last = following is None and attempt.ended_at == status.ended_at
    failed = attempt.state is not AttemptState.CANCELLED
    return ", and no step was left" if is_last and failed else ""


def _charged(attempt: AttemptStatus) -> str:
    if attempt.cost is None or attempt.currency is None:
        return "; charged without a price, since no rate was there"
    units = f" for {attempt.units} segments" if (attempt.units or 1) > 1 else ""
    return f"; charged {money(attempt.cost, attempt.currency)}{units}"


def _wanted(attempt: AttemptStatus, receipt: ReceiptStatus) -> str:
    asks_more = attempt.success is Success.READ and receipt.status is AttemptState.DELIVERED
    return "; the step asks for read" if asks_more else ""


def _late(status: MessageStatus, attempt: AttemptStatus) -> str:
    """What a delivery after the end of its step, or beside another one, means."""
    delivered_at, words = attempt.delivered_at, ""
    if delivered_at is None:
        return words
    if attempt.ended_at is not None and delivered_at > attempt.ended_at:
        words = f"; late, {span(delivered_at - attempt.ended_at)} after its step had ended"
    before = [one for one in status.attempts if one is not attempt and _is_before(one, attempt)]
    if before:
        return f"{words}; the person has it twice, since {before[0].channel} had delivered it"
    if status.ended_at is not None and delivered_at > status.ended_at:
        return words + _after_the_end(status.state)
    return words


def _after_the_end(state: MessageState) -> str:
    match state:
        case MessageState.DELIVERED:
            return "; the message counts as delivered after all"
        case MessageState.CANCELLED:
            return "; the message stays cancelled"
        case MessageState.UNDELIVERED:
            return "; too late for the message, which stays undelivered"
        case MessageState.IN_PROGRESS:
            return ""
        case _:
            assert_never(state)


def _is_before(one: AttemptStatus, other: AttemptStatus) -> bool:
    if one.delivered_at is None or other.delivered_at is None:
        return False
    return (one.delivered_at, one.step) < (other.delivered_at, other.step)


def _delivery(attempt: AttemptStatus) -> ReceiptStatus | None:
    """The receipt that made it delivered."""
    delivering = (one for one in attempt.receipts if one.status.rank >= _DELIVERED_RANK)
    return next(delivering, None)


def _cause(attempt: AttemptStatus) -> ReceiptStatus | None:
    """The receipt of a failure that ended the step, if one did."""
    if attempt.ended_at is None or _is_by(attempt.delivered_at, attempt):
        return None
    return next((one for one in attempt.receipts if _is_failure(one, attempt.ended_at)), None)


def _is_failure(receipt: ReceiptStatus, ended_at: dt.datetime) -> bool:
    failed = AttemptState.SENT.rank < receipt.status.rank < _DELIVERED_RANK
    return failed and receipt.received_at <= ended_at


def _met(attempt: AttemptStatus) -> bool:
    """Whether the step's success ended it."""
    moment = attempt.read_at if attempt.success is Success.READ else attempt.delivered_at
    return _is_by(moment, attempt)


def _is_by(moment: dt.datetime | None, attempt: AttemptStatus) -> bool:
    return moment is not None and (attempt.ended_at is None or moment <= attempt.ended_at)


_DELIVERED_RANK = AttemptState.DELIVERED.rank
