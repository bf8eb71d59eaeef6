"""What one run of a part gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`count` things were done in `seconds`; `cpu` are CPU seconds by group of processes.

    `provider` is the CPU of what stands for a provider, which is not ours; `figures` are those
    that a rate does not tell.
    """

    count: int
    seconds: float
    cpu: Mapping[str, float] = field(default_factory=dict)
    provider: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Things a second."""
        return self.count / self.seconds

    @property
    def cpu_per_1000(self) -> dict[str, float]:
        """CPU seconds for a thousand things, by group."""
        return {name: 1000 * seconds / self.count for name, seconds in self.cpu.items()}

    @property
    def all_cpu_per_1000(self) -> float:
        """CPU seconds for a thousand things, of all processes of ours."""
        return sum(self.cpu_per_1000.values())


class VoidError(Exception):
    """A run that did not do what it says: its figures mean nothing."""
