"""What a run found out beside the checker's counts, and why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


# The counts of the checker that must be zero.
ZERO = (
    "lost",
    "stuck",
    "charged_twice",
    "not_charged",
    "sum_difference",
    "second_sends",
    "sends_without_intent",
    "sends_after_deadline",
    "backward",
    "hasty_expiries",
    "receipts_unapplied",
    "exceptions",
    "unreconciled",
)
LEAST_LANDED = 0.9


def render(figures: dict[str, Any]) -> Iterator[str]:
    """Lines for people."""
    yield f"{figures['messages']} messages, {figures['seconds']:.0f} s"
    yield f"{figures['faults_landed']} of {figures['faults']} faults landed"
    yield from (f"  did not land: {one}" for one in figures["not_landed"])
    yield from (f"  died by itself: {one}" for one in figures["deaths"])
    yield f"reconciling has written {figures['repaired']}"
    yield f"and left {figures['unreconciled']} {figures['unreconciled_kinds'] or ''}"
    recovered = figures["recovery_seconds"]
    if recovered is not None:
        yield f"{recovered:.1f} s after the last fault nothing was late any more"


def verdict(figures: dict[str, Any]) -> list[str]:
    """Why the run failed, a sentence each; empty if it did not."""
    amiss = [f"{name} is {figures[name]}, and must be zero" for name in ZERO if figures.get(name)]
    amiss += [f"{one} by itself" for one in figures.get("deaths", ())]
    if figures["faults_landed"] < LEAST_LANDED * figures["faults"]:
        amiss.append(f"only {figures['faults_landed']} of {figures['faults']} faults landed")
    return amiss
