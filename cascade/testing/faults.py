"""What may go wrong in a simulation, as probabilities."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities, each of one event; 0 everywhere is a world without faults.

    Of processes, at each point where one waits: it dies (`death`), or stands still for longer than
    its lease (`stall`). Of transactions: the answer to COMMIT is lost and the work is run again
    (`unseen_commit`), or it is rolled back and run again (`rollback`). Of beats: a second one
    (`second_beat`). Of hints: `lost_hint`,
    `repeated_hint`, `late_hint`. Of calls: the provider took it and its answer is lost
    (`unanswered`), the request is lost and nobody knows (`vanished`), the connection is refused
    (`refused`), `throttled`. Of webhooks: it fails and the provider repeats it (`failed_webhook`),
    `repeated_webhook`, `late_webhook` (out of order), and `lost_webhook`: never heard again.
    """

    death: float = 0.0
    stall: float = 0.0
    unseen_commit: float = 0.0
    rollback: float = 0.0
    second_beat: float = 0.0
    lost_hint: float = 0.0
    repeated_hint: float = 0.0
    late_hint: float = 0.0
    unanswered: float = 0.0
    vanished: float = 0.0
    refused: float = 0.0
    throttled: float = 0.0
    failed_webhook: float = 0.0
    repeated_webhook: float = 0.0
    late_webhook: float = 0.0
    lost_webhook: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < 1:
                raise ValueError(f"{field.name}: give a probability below 1")


CALM = Faults()

STORM = Faults(
    death=0.004,
    stall=0.002,
    unseen_commit=0.01,
    rollback=0.01,
    second_beat=0.1,
    lost_hint=0.05,
    repeated_hint=0.1,
    late_hint=0.05,
    unanswered=0.04,
    vanished=0.04,
    refused=0.03,
    throttled=0.03,
    failed_webhook=0.1,
    repeated_webhook=0.1,
    late_webhook=0.1,
    lost_webhook=0.002,
)
"""A bad day: what the test of the invariants runs under."""
