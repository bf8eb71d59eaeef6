"""What can be sabotaged, by name: by which count it is found, and in which run it shows itself.

`docs/sandbox.md` has the meaning of the digits that a number's fate is drawn from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chaos.schedule import Fault, Kind, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """A broken product and the run that shows it; `sql` changes the database beforehand."""

    count: str
    size: Size
    faults: tuple[Fault, ...] = ()
    sql: str = ""


def _size(fates: str, *, messages: int = 200, sending: float = 10, deadline: float = 90) -> Size:
    return Size(messages=messages, faults=0, sending=sending, deadline=deadline, fates=fates)


def _faults(
    kind: Kind, target: str, times: tuple[float, ...], seconds: float
) -> tuple[Fault, ...]:
    return tuple(
        Fault(number=round(at), at=at, kind=kind, target=target, seconds=seconds) for at in times
    )


SABOTAGE: Mapping[str, Sabotage] = {
    "decisions_without_fence": Sabotage(count="backward", size=_size("8")),
    "facts_refused_late": Sabotage(count="not_charged", size=_size("7")),
    "intent_after_call": Sabotage(count="sends_without_intent", size=_size("1")),
    # No word about most of these comes before the second call.
    "blind_resend": Sabotage(count="second_sends", size=_size("6", messages=800, sending=20)),
    "charges_without_constraint": Sabotage(
        count="charged_twice",
        size=_size("3"),
        sql="ALTER TABLE cascade.charges DROP CONSTRAINT charges_pkey",
    ),
    "states_step_back": Sabotage(count="backward", size=_size("37")),
    "clock_of_the_worker": Sabotage(count="hasty_expiries", size=_size("6")),
    "acknowledged_before_commit": Sabotage(
        count="receipts_unapplied",
        size=_size("13", messages=400, sending=24),
        faults=_faults(Kind.KILL_GATEWAY, "gateway", (6, 13, 20), 1),
    ),
    "no_tick": Sabotage(count="stuck", size=_size("6", messages=50, sending=5, deadline=40)),
    "no_lease": Sabotage(count="second_sends", size=_size("9")),
    "locks_in_any_order": Sabotage(
        count="exceptions", size=_size("1237", messages=1000, sending=15)
    ),
    "step_outside_transaction": Sabotage(
        count="stuck", size=_size("4", messages=300, sending=12, deadline=60)
    ),
    "expiry_ignores_inbox": Sabotage(
        count="hasty_expiries",
        size=_size("1", sending=5),
        faults=_faults(Kind.STOP_CHILDREN, "collector", (2,), 30),
    ),
    "receipts_by_provider_reference": Sabotage(count="not_charged", size=_size("1", messages=400)),
}
