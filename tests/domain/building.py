"""Values for tests, every argument with a default: a test names only what it is about."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Sequence

from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.engine import RECEIPT_GRACE
from cascade.domain.policy import ChannelFacts, Policy, Step
from cascade.domain.state import UNSENT, AttemptState, Channel, Lane, MessageState, Success


NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def later(seconds: float) -> dt.datetime:
    """So many seconds after `NOW`."""
    return NOW + dt.timedelta(seconds=seconds)


def a_step(
    channel: Channel = Channel.VK,
    *,
    ttl: int = 60,
    ttl_minimum: int = 15,
    success: Success = Success.DELIVERED,
    max_wait: int | None = None,
) -> Step:
    return Step(
        channel=channel,
        account=f"{channel}-account",
        ttl=ttl,
        ttl_minimum=ttl_minimum,
        success=success,
        max_wait=max_wait,
    )


def a_policy(*steps: Step) -> Policy:
    """Without steps: VK, then SMS without a provider's minimum."""
    default = (a_step(Channel.VK), a_step(Channel.SMS, ttl_minimum=0))
    return Policy(name="default", steps=steps or default)


def an_attempt(
    state: AttemptState = AttemptState.SENT,
    *,
    step: int = 0,
    expires_in: float = 60,
    ended_at: dt.datetime | None = None,
) -> Attempt:
    """An attempt of `a_policy()`; its id is the number of its step, from 1."""
    expires_at = later(expires_in)
    over_at = expires_at if state in UNSENT else expires_at + RECEIPT_GRACE
    is_delivered = state.rank >= AttemptState.DELIVERED.rank
    served = a_policy().steps[step]
    return Attempt(
        id=step + 1,
        step=step,
        channel=served.channel,
        account=served.account,
        state=state,
        expires_at=expires_at,
        due_at=over_at if ended_at is None else None,
        delivered_at=NOW if is_delivered else None,
        ended_at=ended_at,
    )


def a_cascade(
    *attempts: Attempt,
    policy: Policy | None = None,
    deadline: float = 3600,
    state: MessageState = MessageState.IN_PROGRESS,
    ended_at: dt.datetime | None = None,
) -> Cascade:
    """Without attempts: one that was sent. `deadline` in seconds from `NOW`."""
    return Cascade(
        message_id=uuid.UUID(int=1),
        lane=Lane.NORMAL,
        policy=policy or a_policy(),
        deadline=later(deadline),
        state=state,
        success_met=False,
        ended_at=ended_at,
        attempts=attempts or (an_attempt(),),
    )


def channel_facts(
    *,
    ttl_minimum: int = 15,
    ttl_maximum: int = 86_400,
    read_receipts: bool = True,
    late_delivery: bool = False,
) -> ChannelFacts:
    return ChannelFacts(
        account="an-account",
        ttl_minimum=ttl_minimum,
        ttl_maximum=ttl_maximum,
        read_receipts=read_receipts,
        late_delivery=late_delivery,
    )


def a_document(*steps: object, name: str = "default") -> dict[str, object]:
    """A parsed policies file with one policy."""
    rows: Sequence[object] = steps or ({"channel": "vk", "ttl": "15s"},)
    return {"policies": {name: {"steps": list(rows)}}}
