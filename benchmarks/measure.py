"""Runs of a part in turn with runs of empty tasks, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.noop import noop
from benchmarks.part import Part, Say
from benchmarks.sample import Sample
from benchmarks.stack import place


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A part's runs, each with that of empty tasks before it."""

    part: Part
    runs: Sequence[tuple[Sample, Sample]]  # (R0, the part)

    @property
    def figures(self) -> dict[str, float]:
        """The median of each figure; ratios are those of the pairs."""
        found = [_figures(r0, sample) for r0, sample in self.runs]
        return {name: median(one[name] for one in found) for name in found[0]}

    @property
    def cpu_per_1000(self) -> dict[str, float]:
        """CPU seconds for a thousand things by group of processes; the median of the runs."""
        found = [sample.cpu_per_1000 for _, sample in self.runs]
        return {name: median(one[name] for one in found) for name in found[0]}

    @property
    def provider(self) -> float:
        """CPU seconds of the provider's stand-in for a thousand things."""
        return median(sample.provider for _, sample in self.runs)

    def as_json(self) -> dict[str, object]:
        """For programs; rates a second, CPU in seconds for a thousand."""
        figures = {name: round(value, 4) for name, value in self.figures.items()}
        return {
            **figures,
            "r0": round(median(r0.rate for r0, _ in self.runs), 1),
            "r0_cpu_per_1000": round(median(r0.all_cpu_per_1000 for r0, _ in self.runs), 3),
            "rate": round(median(sample.rate for _, sample in self.runs), 1),
            "cpu_per_1000": _rounded(self.cpu_per_1000),
            "provider_cpu_per_1000": round(self.provider, 4),
            "goals": {
                goal.figure: {
                    "goal": goal.goal,
                    "floor": goal.floor,
                    "met": goal.is_met(self.figures[goal.figure]),
                }
                for goal in self.part.goals
            },
            "runs": [_run(r0, sample) for r0, sample in self.runs],
        }


def measure(part: Part, *, runs: int, say: Say) -> Measured:
    """Starts what the part takes and runs it; raises VoidError."""
    with place() as directory, part.start(directory, say) as started:
        baseline = started.baseline or partial(noop, started.broker_url)
        with baseline(directory) as r0:
            pairs = []
            runs = min(runs, part.runs or runs)
            for number in range(1, runs + 1):
                say(f"run {number} of {runs}: what it is compared with")
                empty = r0()
                say(f"run {number} of {runs}: {part.what}")
                pairs.append((empty, started.sample()))
    return Measured(part=part, runs=pairs)


def _figures(r0: Sample, sample: Sample) -> dict[str, float]:
    figures = {"ratio": sample.rate / r0.rate}
    if sample.cpu:
        figures["cpu"] = sample.all_cpu_per_1000 / r0.all_cpu_per_1000
    return figures | dict(sample.figures)


def _run(r0: Sample, sample: Sample) -> dict[str, object]:
    return {
        "r0": round(r0.rate, 1),
        "rate": round(sample.rate, 1),
        "count": sample.count,
        "seconds": round(sample.seconds, 3),
        "cpu_per_1000": _rounded(sample.cpu_per_1000),
        **{name: round(value, 4) for name, value in _figures(r0, sample).items()},
    }


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}
