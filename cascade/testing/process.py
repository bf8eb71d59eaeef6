"""Where processes wait, and may die or stand still: between their transactions, hints and calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

from cascade.services.deployment import LEASE
from cascade.storage.store import T, Transaction
from cascade.testing.faults import Faults
from cascade.testing.memory import MemoryStore
from cascade.testing.scheduler import Scheduler


LATENCY = 0.004  # seconds of a transaction, on average

_PROCESS = ("death", "stall")
_COMMIT = ("rollback", "unseen_commit")


class Chance:
    """Draws faults, and counts those that happened."""

    def __init__(self, scheduler: Scheduler, faults: Faults) -> None:
        self._scheduler = scheduler
        self._random = scheduler.rng.random
        self._probabilities: dict[str, float] = asdict(faults)
        self._probabilities_of = {
            kinds: sum(self._probabilities[one] for one in kinds) for kinds in (_PROCESS, _COMMIT)
        }
        self.happened: Counter[str] = Counter()

    def strikes(self, fault: str) -> bool:
        """Whether this fault happens now."""
        probability = self._probabilities[fault]
        if not probability or self._random() >= probability:
            return False
        self.happened[fault] += 1
        return True

    def commit(self) -> str | None:
        """What happens to the commit of a transaction, if anything."""
        fault = self._drawn(_COMMIT)
        if fault is not None:
            self.happened[fault] += 1
        return fault

    def _drawn(self, faults: tuple[str, str]) -> str | None:
        """Which of these two faults would happen now, if any."""
        drawn = self._random()
        if drawn >= self._probabilities_of[faults]:
            return None
        for fault in faults:
            drawn -= self._probabilities[fault]
            if drawn < 0:
                return fault
        return None

    def point(self) -> None:
        """A process waits: it may not come back, or too late."""
        scheduler = self._scheduler
        scheduler.wait(LATENCY * scheduler.rng.random())
        self.meet()

    def meet(self) -> None:
        """What may happen to a process between two of its steps."""
        fault = self._drawn(_PROCESS)
        if fault is None or not self._scheduler.is_in_task:
            return
        self.happened[fault] += 1
        if fault == "death":
            self._scheduler.kill()
        else:
            self._scheduler.wait(2 * LEASE)


class _RolledBackError(Exception):
    """A transaction that the database gave up."""


class SharedStore:
    """The store as several processes see it: others come in between, and answers get lost."""

    def __init__(self, store: MemoryStore, chance: Chance) -> None:
        self._store = store
        self._chance = chance

    def transaction(self, work: Callable[[Transaction], T], *, patience: float | None = None) -> T:
        """Runs `work`, as often as a client would whose answers get lost."""
        self._chance.point()
        fault = self._chance.commit()
        if fault == "rollback":
            self._roll_back(work)
        result = self._store.transaction(work, patience=patience)
        if fault == "unseen_commit":
            result = self._store.transaction(work, patience=patience)
        self._chance.meet()  # committed, and not acted upon
        return result

    def _roll_back(self, work: Callable[[Transaction], object]) -> None:
        def broken(transaction: Transaction) -> None:
            work(transaction)
            raise _RolledBackError

        try:
            self._store.transaction(broken)
        except _RolledBackError:
            return
