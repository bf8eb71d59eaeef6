"""What became of the mutants, by module."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a test noticed one mutant."""

    module: str
    name: str
    is_killed: bool


@dataclass(frozen=True, slots=True)
class Count:
    """Of a module, or of all."""

    mutants: int
    killed: int

    @property
    def percent(self) -> float:
        """Of those that were killed."""
        return 100 * self.killed / self.mutants if self.mutants else 100.0

    def report(self) -> dict[str, float]:
        """As JSON has it."""
        return {
            "mutants": self.mutants,
            "killed": self.killed,
            "survived": self.mutants - self.killed,
            "score": round(self.percent, 1),
        }


@dataclass(frozen=True, slots=True)
class Score:
    """Counts by module, and the names of those that survived."""

    modules: Mapping[str, Count]
    survivors: tuple[str, ...]

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> Score:
        """Adds them up."""
        by_module: dict[str, list[Verdict]] = defaultdict(list)
        for one in verdicts:
            by_module[one.module].append(one)
        survivors = [o.name for all_ in by_module.values() for o in all_ if not o.is_killed]
        return cls({name: _count(all_) for name, all_ in by_module.items()}, tuple(survivors))

    @property
    def total(self) -> Count:
        """Of all modules."""
        counts = self.modules.values()
        return Count(sum(one.mutants for one in counts), sum(one.killed for one in counts))

    def report(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "modules": {name: one.report() for name, one in self.modules.items()},
            "total": self.total.report(),
            "survivors": list(self.survivors),
        }


def table(score: Score) -> str:
    """A line a module, the total, and who survived."""
    rows = [*score.modules.items(), ("total", score.total)]
    lines = [f"{'module':32}{'mutants':>8}{'killed':>8}{'survived':>9}{'score':>9}"]
    lines += [
        f"{name:32}{one.mutants:8}{one.killed:8}{one.mutants - one.killed:9}{one.percent:8.1f} %"
        for name, one in rows
    ]
    return "\n".join([*lines, "", *(f"survived: {name}" for name in score.survivors)])


def _count(verdicts: list[Verdict]) -> Count:
    return Count(len(verdicts), sum(one.is_killed for one in verdicts))
