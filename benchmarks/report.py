"""The table of a benchmark, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from benchmarks.measure import Measured
from benchmarks.part import Goal


def render(measured: Sequence[Measured]) -> RenderableType:
    """Each figure beside its goal, and where the CPU went."""
    return Group(_figures(measured), _cpu(measured))


def _figures(measured: Sequence[Measured]) -> Table:
    table = Table(box=box.SIMPLE, title="Figures (the median of the runs)")
    for name in ("part", "figure", "goal", "floor", "", "a second", "empty tasks a second"):
        table.add_column(name, justify="left" if name in {"part", ""} else "right")
    for one in measured:
        told = one.as_json()
        for place, goal in enumerate(one.part.goals):
            value = one.figures[goal.figure]
            table.add_row(
                "" if place else one.part.name,
                f"{value:,.3g} {goal.unit}",
                _bound(goal, goal.goal),
                "" if goal.floor is None else _bound(goal, goal.floor),
                _verdict(goal, value),
                "" if place else f"{told['rate']:,}",
                "" if place else f"{told['r0']:,}",
            )
    return table


def _cpu(measured: Sequence[Measured]) -> Table:
    groups = list(dict.fromkeys(name for one in measured for name in one.cpu_per_1000))
    table = Table(box=box.SIMPLE, title="CPU seconds for a thousand")
    for name in ("part", "things", *groups, "all", "provider (not ours)"):
        table.add_column(name, justify="left" if name in {"part", "things"} else "right")
    for one in measured:
        cells = one.cpu_per_1000
        if cells:
            numbers = [f"{cells[name]:.3f}" if name in cells else "" for name in groups]
            total = f"{sum(cells.values()):.3f}"
            table.add_row(one.part.name, one.part.things, *numbers, total, f"{one.provider:.3f}")
    return table


def _bound(goal: Goal, value: float) -> str:
    return f"{'≥' if goal.at_least else '≤'} {value:g}"


def _verdict(goal: Goal, value: float) -> str:
    if goal.is_met(value):
        return "[green]goal[/]"
    return "[yellow]floor[/]" if goal.is_tolerable(value) else "[red]below[/]"
