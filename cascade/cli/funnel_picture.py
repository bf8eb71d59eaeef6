"""The funnel as a picture, PNG or SVG; needs matplotlib, of the extra `pictures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cascade.cli.figures import money
from cascade.cli.funnel import Band, Bar, bands, grouped, percent
from cascade.domain.report import Report


_WIDTH = 9.0  # inches
_BAR = 0.30  # inches of each bar
_MARGIN = 0.9  # inches for the two lines above
_GAP = 0.6  # bars between two bands
_ROOM = 1.5  # of the longest bar: what stands behind it needs a place

_COLOURS = {
    "accepted": "#9aa5b1",
    "reached": "#1f6f5c",
    "called": "#9aa5b1",
    "sent": "#5b8def",
    "delivered": "#2a9d8f",
    "read": "#1f6f5c",
}


def draw(report: Report, path: Path) -> None:
    """Writes the picture of the report's total; the name's ending says which kind."""
    shown = bands(report.total)
    height = _MARGIN + _BAR * _places(shown)
    # The same report gives the same file; letters stay letters, which keeps it small.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cascade"}):
        figure = Figure(figsize=(_WIDTH, height))
        axes = figure.add_axes((0.11, 0.1 / height, 0.87, 1 - _MARGIN / height))
        _draw_bands(axes, shown)
        _write_title(figure, report, height)
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=metadata)


def _places(shown: Sequence[Band]) -> float:
    return sum(len(band.bars) + _GAP for band in shown)


def _draw_bands(axes: Axes, shown: Sequence[Band]) -> None:
    longest = max(*(bar.count for band in shown for bar in band.bars), 1)
    place = 0.0
    for band in shown:
        _name(axes, band, place, longest)
        for bar in band.bars:
            _draw_bar(axes, bar, place, longest)
            place += 1
        place += _GAP
    axes.set_xlim(0, longest * _ROOM)
    axes.set_ylim(place - _GAP, -1)
    axes.axis("off")


def _name(axes: Axes, band: Band, place: float, longest: int) -> None:
    axes.text(-0.015 * longest, place, band.name, ha="right", va="center", weight="bold")


def _draw_bar(axes: Axes, bar: Bar, place: float, longest: int) -> None:
    axes.barh(place, bar.count, height=0.86, color=_COLOURS[bar.stage])
    axes.text(
        bar.count + 0.012 * longest, place, f"{bar.stage} {bar.label}", va="center", fontsize=9
    )


def _write_title(figure: Figure, report: Report, height: float) -> None:
    question, messages = report.question, report.total.messages
    title = f"{grouped(messages.accepted)} messages accepted, {percent(messages.reach)} reached"
    figure.text(0.02, 1 - 0.3 / height, title, fontsize=13, weight="bold")
    said = [
        f"{question.since:%Y-%m-%d} to {question.until:%Y-%m-%d %H:%M} {question.timezone.key}"
    ]
    for one in report.total.costs.money:
        said.append(f"cost {money(one.cost, one.currency)}")
        if one.compared:
            said.append(
                f"saved {money(one.saved, one.currency)}, {percent(one.saved_share)} of SMS alone"
            )
    figure.text(0.02, 1 - 0.55 / height, "  ·  ".join(said), fontsize=9, color="#52606d")
