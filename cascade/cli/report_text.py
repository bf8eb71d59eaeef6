"""A report for a person at a terminal: the sentences, the funnel as bars, the groups as a table."""

from __future__ import annotations

import datetime as dt

from collections.abc import Callable, Iterator, Sequence

from rich.console import Group as Lines, RenderableType
from rich.table import Table
from rich.text import Text

from cascade.cli.figures import money, span, total
from cascade.cli.funnel import Band, bands, grouped, percent
from cascade.domain.report import (
    ChannelFigures,
    Costs,
    Dimension,
    Group,
    Money,
    Question,
    Report,
)


WIDTH = 30  # of the longest bar, in characters
NOTHING = "–"

_EIGHTHS = " ▏▎▍▌▋▊▉"
_OUTCOMES = (
    "unsupported",
    "rejected",
    "expired",
    "undeliverable",
    "skipped",
    "cancelled",
    "waiting",
)

Cell = Callable[[ChannelFigures], str]
Cells = tuple[str, ...]


def render(report: Report) -> RenderableType:
    """The total, its funnel and channels; and the groups, if any were asked for."""
    parts: list[RenderableType] = [_title(report.question), _sentences(report)]
    if report.total.channels:
        parts += ["", _funnel(bands(report.total)), "", _channels(report.total)]
    if groups := _groups_of(report):
        parts += ["", _groups(report.question, groups)]
    return Lines(*parts)


def _groups_of(report: Report) -> Sequence[Group]:
    """Those asked for; by channel alone the total is the only one."""
    if report.question.by != {Dimension.CHANNEL}:
        return report.groups
    return (report.total,) if report.total.channels else ()


def _title(question: Question) -> Text:
    names = (("sender", question.sender), ("policy", question.policy))
    only = "".join(f", {what} {name}" for what, name in names if name is not None)
    since, until = _moment(question.since), _moment(question.until)
    return Text(
        f"Messages accepted from {since} to {until}, {question.timezone.key}{only}", style="bold"
    )


def _moment(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _sentences(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, words in _said(report):
        table.add_row(name, words)
    return table


def _said(report: Report) -> Iterator[tuple[str, str]]:
    total = report.total
    if total.messages.accepted:
        yield "messages", _states(total)
        yield "reached", _reached(total)
    else:
        yield "messages", "no message matches"
    if not total.channels:  # there may be money of an earlier period's messages
        return
    yield f"cost, {report.question.money_by}", _cost(total.costs)
    for one in total.costs.money:
        if one.corrections:
            yield "corrected", _corrected(one)
    for one in total.costs.money:
        yield "saved", _saved(one)
    for words in [*_anomalies(total)] or ["nothing"]:
        yield "unusual", words


def _states(group: Group) -> str:
    figures = group.messages
    states = (
        (figures.delivered, "delivered"),
        (figures.undelivered, "undelivered"),
        (figures.cancelled, "cancelled"),
        (figures.in_progress, "in progress"),
    )
    said = ", ".join(f"{grouped(count)} {name}" for count, name in states if count)
    return f"{grouped(figures.accepted)} accepted" + (f": {said}" if said else "")


def _reached(group: Group) -> str:
    figures = group.messages
    said = f"{grouped(figures.reached)}, {percent(figures.reach)} of accepted"
    delay = figures.delay
    if delay.p50 is None or delay.p95 is None:
        return said
    return f"{said}; half of them within {_seconds(delay.p50)}, 95 % within {_seconds(delay.p95)}"


def _cost(costs: Costs) -> str:
    return (
        " and ".join(
            f"{money(one.cost, one.currency)} for {grouped(one.charges)} deliveries"
            for one in costs.money
            if one.charges
        )
        or "nothing"
    )


def _corrected(one: Money) -> str:
    """By reconciling; no part of the cost above, nor of what was saved."""
    return f"{money(one.corrections, one.currency)}: {money(one.total, one.currency)} in all"


def _saved(one: Money) -> str:
    if not one.compared:
        return f"no {one.currency} can be compared with SMS"
    said = (
        f"{money(one.saved, one.currency)}, {percent(one.saved_share)} of the"
        f" {money(one.sms_cost, one.currency)} for SMS alone"
    )
    missing = one.charges - one.compared
    return f"{said}; {grouped(missing)} deliveries have no such price" if missing else said


def _anomalies(group: Group) -> Iterator[str]:
    """Worst first, a line each."""
    rejected = ", ".join(_rejected(one) for one in group.channels if one.attempts.rejected)
    if rejected:
        yield f"rejected, which is ours to mend: {rejected}"
    counts = (
        (group.costs.unrated, "deliveries without a rate"),
        (group.messages.overlaps, "messages delivered more than once"),
        (group.late, "deliveries after their step had ended"),
    )
    for count, name in counts:
        if count:
            yield f"{name}: {grouped(count)}"


def _rejected(one: ChannelFigures) -> str:
    attempts = one.attempts
    return f"{one.channel} {grouped(attempts.rejected)} of {grouped(attempts.called)} called"


def _funnel(shown: Sequence[Band]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold")
    for _ in range(3):
        table.add_column()
    longest = max((bar.count for band in shown for bar in band.bars), default=0)
    for band in shown:
        for place, bar in enumerate(band.bars):
            name = band.name if place == 0 else ""
            table.add_row(name, bar.stage, Text(_bar(bar.count, longest), "green"), bar.label)
    return table


def _bar(count: int, longest: int) -> str:
    """To an eighth of a character; what is there at all is seen."""
    eighths = max(round(count * WIDTH * 8 / longest), 1) if count else 0
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + _EIGHTHS[rest].strip()).ljust(WIDTH)


def _channels(group: Group) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for one in group.channels:
        table.add_column(one.channel, justify="right")
    for name, cell in _channel_rows(group):
        table.add_row(name, *(cell(one) for one in group.channels))
    return table


def _channel_rows(group: Group) -> Iterator[tuple[str, Cell]]:
    yield "attempts", lambda one: grouped(one.attempts.attempts)
    for outcome in ("delivered", *_OUTCOMES):
        if any(getattr(one.attempts, outcome) for one in group.channels):
            yield f"  {outcome}", _counted(outcome)
        if outcome == "expired" and any(one.attempts.in_queue for one in group.channels):
            yield "    in the queue", _counted("in_queue")
    yield "reached first", lambda one: grouped(one.attempts.first)
    yield "  of all reached", lambda one: percent(one.share)
    yield "half, after the call", lambda one: _seconds(one.attempts.delay.p50)
    yield "95 %, after the call", lambda one: _seconds(one.attempts.delay.p95)
    yield "cost", lambda one: _spent(one.costs)
    yield "saved", lambda one: _spared(one.costs)


def _counted(outcome: str) -> Cell:
    return lambda one: grouped(getattr(one.attempts, outcome))


def _groups(question: Question, groups: Sequence[Group]) -> Table:
    by = question.by
    keys = [one.value for one in Dimension if one in by - {Dimension.CHANNEL}]
    columns, cells = _BY_CHANNEL if Dimension.CHANNEL in by else _BY_MESSAGE
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in keys:
        table.add_column(name)
    for name in columns:
        table.add_column(name, justify="left" if name == "channel" else "right")
    for group in groups:
        for row in cells(group):
            names = (getattr(group.key, name) for name in keys)
            table.add_row(*(Text(str(cell)) for cell in (*names, *row)))
    return table


def _message_cells(group: Group) -> Iterator[Cells]:
    figures = group.messages
    yield (
        grouped(figures.accepted),
        grouped(figures.reached),
        percent(figures.reach),
        _seconds(figures.delay.p50),
        _seconds(figures.delay.p95),
        _spent(group.costs),
        _spared(group.costs),
    )


def _channel_cells(group: Group) -> Iterator[Cells]:
    for one in group.channels:
        yield (
            one.channel,
            grouped(one.attempts.called),
            grouped(one.attempts.delivered),
            percent(one.attempts.rate),
            _seconds(one.attempts.delay.p50),
            _seconds(one.attempts.delay.p95),
            _spent(one.costs),
            _spared(one.costs),
        )


_WITHIN = ("half within", "95 % within", "cost", "saved")
_BY_MESSAGE = (("accepted", "reached", "of accepted", *_WITHIN), _message_cells)
_BY_CHANNEL = (("channel", "called", "delivered", "of called", *_WITHIN), _channel_cells)


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else span(dt.timedelta(seconds=value))


def _spent(costs: Costs) -> str:
    return total({one.currency: one.cost for one in costs.money}) if costs.money else NOTHING


def _spared(costs: Costs) -> str:
    saved = {one.currency: one.saved for one in costs.money if one.compared}
    return total(saved) if saved else NOTHING
