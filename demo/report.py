"""The report at the end of a run: for people, as JSON, and as the reasons why it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cascade.domain.books import Books, Entry, Line
from cascade.domain.money import Amount
from cascade.domain.phone import masked
from cascade.domain.state import AttemptState
from demo.figures import AccountBooks, ChannelFigures, Figures, Sum


WIDTH = 96
SHOWN = 5  # lines of each kind of imbalance
NBSP = "\N{NO-BREAK SPACE}"
_MINUTE = 60.0
_SIGNS = {"RUB": "₽"}

Cell = Callable[[ChannelFigures], str]


def render(figures: Figures) -> RenderableType:
    """The whole report, for a console of 80 columns and more."""
    return Group(
        _panel("Channels", _channels(figures)),
        _panel("In all", _in_all(figures)),
        _panel("The two books: messages and ₽", _books(figures)),
    )


def to_json(figures: Figures) -> dict[str, Any]:
    """The same figures; money as decimal strings, times in seconds.

    In `channels.<name>` the outcomes are the attempts' states and add up to `attempts`.
    """
    both = figures.in_all
    return {
        "accepted": figures.accepted,
        "final": figures.final,
        **{state.value: count for state, count in figures.messages.items()},
        "seconds": round(figures.seconds, 3),
        "cost_charged": _exact(both.charged.amount),
        "cost_sandbox": _exact(both.billed.amount),
        "cost_unattributable": _exact(both.unattributable.amount),
        "cost_sms_for_accepted": _exact(figures.sms_for_all.accepted),
        "cost_sms_for_delivered": _exact(figures.sms_for_all.delivered),
        "cost_overlap": _exact(figures.overlap_cost),
        "charges": both.charged.count,
        "billed": both.billed.count,
        "unattributable": both.unattributable.count,
        "unheard": both.unheard.count,
        "duplicates": both.duplicates.count,
        "unpaired_lines": len(figures.books.unpaired_lines),
        "unpaired_charges": len(figures.books.unpaired_entries),
        "differing": len(figures.books.differing),
        "balanced": figures.books.is_balanced,
        "sandbox_pending": figures.pending,
        "live_attempts": figures.waiting.attempts,
        "retried": figures.incidents.retried,
        "ambiguous": figures.incidents.ambiguous,
        "late": figures.incidents.late,
        "overlapping": figures.incidents.overlapping,
        "unrated": figures.incidents.unrated,
        "orphans_waiting": figures.orphans.waiting,
        "orphans_set_aside": figures.orphans.set_aside,
        "refusals": dict(figures.refusals),
        "median_seconds": _medians(figures),
        "channels": {one.channel.value: _channel(one) for one in figures.channels},
    }


def failures(figures: Figures) -> list[str]:
    """Why the run failed, a sentence each with phones masked; empty if all is well."""
    return [*_unfinished(figures), *_imbalances(figures.books)]


def _channel(one: ChannelFigures) -> dict[str, int | str]:
    outcomes = {state.value: one.outcomes.get(state, 0) for state in AttemptState}
    return {"attempts": one.attempts, **outcomes, "cost": _exact(one.cost)}


def _medians(figures: Figures) -> dict[str, float]:
    medians = {
        one.channel.value: round(one.medians.since_accepted, 3)
        for one in figures.channels
        if one.medians is not None
    }
    if figures.median_to_reach is not None:
        medians["first_delivery"] = round(figures.median_to_reach, 3)
    return medians


def _unfinished(figures: Figures) -> Iterator[str]:
    if not figures.accepted:
        yield "no message was accepted"
    if figures.final < figures.accepted:
        yield f"messages that are not final: {figures.accepted - figures.final}"
    if figures.waiting.attempts:
        yield f"attempts that are still live: {figures.waiting.attempts}"
    if figures.waiting.receipts:
        yield f"receipts that are not applied: {figures.waiting.receipts}"
    if figures.pending:
        yield f"events and webhooks pending in the sandbox: {figures.pending}"


def _imbalances(books: Books) -> Iterator[str]:
    differing = [
        f"{_line(pair.line)}, charged {_money(pair.ours.amount)}" for pair in books.differing
    ]
    unheard = [_line(pair.line) for pair in books.unheard]
    kinds: tuple[tuple[Sequence[str], str], ...] = (
        (differing, "charges that differ from their lines"),
        (unheard, "lines that no receipt told of, not charged"),
        ([_line(pair.line) for pair in books.duplicates], "lines that bill an attempt again"),
        ([_line(one) for one in books.unpaired_lines], "lines that pair with nothing of ours"),
        ([_entry(one) for one in books.unpaired_entries], "charges that pair with no line"),
    )
    for found, what in kinds:
        if found:
            more = " …" if len(found) > SHOWN else ""
            yield f"{what}: {len(found)} ({'; '.join(found[:SHOWN])}{more})"


def _line(line: Line) -> str:
    accepted = f"accepted {line.accepted_at:%H:%M:%S}"
    return (
        f"{line.account} {masked(line.recipient or '')} {accepted}, billed {_money(line.amount)}"
    )


def _entry(entry: Entry) -> str:
    whom = f"{entry.account} {masked(entry.recipient)}"
    return f"{whom} attempt {entry.attempt_id}, charged {_money(entry.amount)}"


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", box=box.ROUNDED, width=WIDTH)


def _channels(figures: Figures) -> Table:
    table = Table(box=None, padding=(0, 1), expand=True)
    table.add_column("")
    for one in figures.channels:
        table.add_column(one.channel.value, justify="right", min_width=9)
    for label, cell, style in _rows(figures):
        cells = [Text(cell(one)) for one in figures.channels]
        table.add_row(Text(label), *cells, style=style)
    return table


def _rows(figures: Figures) -> Iterator[tuple[str, Cell, str]]:
    yield "attempts", lambda one: _count(one.attempts), "bold"
    for state in reversed(AttemptState):
        if any(one.outcomes.get(state) for one in figures.channels):
            yield f"  {_OUTCOMES.get(state, state.value)}", _outcome_of(state), ""
    yield "reached", lambda one: _share(one.delivered, one.attempts), "green"
    yield "half within", _since_accepted, ""
    yield "  of the call", _since_called, ""
    yield "cost", lambda one: _roubles(one.cost), "bold"


_OUTCOMES = {AttemptState.UNSUPPORTED: "not a user", AttemptState.DELIVERED: "delivered only"}


def _outcome_of(state: AttemptState) -> Cell:
    return lambda one: _count(one.outcomes.get(state, 0))


def _since_accepted(one: ChannelFigures) -> str:
    return _duration(one.medians.since_accepted) if one.medians else "–"


def _since_called(one: ChannelFigures) -> str:
    return _duration(one.medians.since_called) if one.medians else "–"


def _in_all(figures: Figures) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for label, value in _sentences(figures):
        table.add_row(label, Text(value))
    return table


def _sentences(figures: Figures) -> Iterator[tuple[str, str]]:
    yield "messages", _messages(figures)
    yield "reach", _reach(figures)
    yield "cost", _cost(figures)
    yield "against SMS", _savings(figures)
    yield "repaired", _repaired(figures)
    yield "overlap", _overlap(figures)
    if figures.refusals:
        refusals = (f"{name} ×{_count(count)}" for name, count in figures.refusals.items())
        yield "refused calls", ", ".join(refusals)


def _messages(figures: Figures) -> str:
    return (
        f"{_count(figures.accepted)} accepted, {_count(figures.delivered)} delivered, "
        f"{_count(figures.undelivered)} undelivered, in {_duration(figures.seconds)}"
    )


def _reach(figures: Figures) -> str:
    if figures.median_to_reach is None:
        return "nobody"
    half = _duration(figures.median_to_reach)
    share = _share(figures.delivered, figures.accepted)
    return f"{share}, half of them within {half} of acceptance"


def _cost(figures: Figures) -> str:
    cost = figures.in_all.charged.amount
    if not figures.delivered:
        return _roubles(cost)
    each = (cost / figures.delivered).quantize(Decimal("0.001"))
    return f"{_roubles(cost)}, {_roubles(each)} per delivered message"


def _savings(figures: Figures) -> str:
    """The assumption stands beside the number: SMS is charged for delivered ones only, too."""
    cost, sms = figures.in_all.charged.amount, figures.sms_for_all
    if not sms.accepted:
        return "no rates for SMS to compare with"
    said = (
        f"{_saved(cost, sms.accepted)} saved: {_roubles(cost)} instead of "
        f"{_roubles(sms.accepted)}, if SMS had reached all {_count(figures.accepted)};\n"
        f"{_saved(cost, sms.delivered)} against {_roubles(sms.delivered)} "
        f"for the {_count(figures.delivered)} that were reached"
    )
    return f"{said}\n({sms.unpriced} have no rate for SMS)" if sms.unpriced else said


def _repaired(figures: Figures) -> str:
    seen, orphans = figures.incidents, figures.orphans
    return (
        f"calls made again: {_count(seen.retried)}; ambiguous calls: {_count(seen.ambiguous)}; "
        f"receipts of unknown attempts: {_count(orphans.waiting + orphans.set_aside)}"
    )


def _overlap(figures: Figures) -> str:
    seen = figures.incidents
    return (
        f"messages delivered more than once: {_count(seen.overlapping)}, for "
        f"{_roubles(figures.overlap_cost)} more; late deliveries: {_count(seen.late)}"
    )


def _books(figures: Figures) -> RenderableType:
    in_all = figures.in_all
    table = Table(box=box.SIMPLE_HEAD, expand=True, show_footer=True, show_edge=False)
    table.collapse_padding, table.pad_edge = True, False
    table.add_column("account", footer=in_all.account, no_wrap=True)
    for name, value in _COLUMNS:
        table.add_column(name, footer=value(in_all), justify="right", no_wrap=True)
    for one in figures.accounts:
        table.add_row(one.account, *(value(one) for _, value in _COLUMNS))
    return Group(table, _verdict(figures))


_COLUMNS: tuple[tuple[str, Callable[[AccountBooks], str]], ...] = (
    ("Cascade charged", lambda one: _both(one.charged)),
    ("unattributable", lambda one: _both(one.unattributable)),
    ("sandbox bills", lambda one: _both(one.billed)),
    ("difference", lambda one: _grouped(one.difference)),
)


def _verdict(figures: Figures) -> Text:
    books, in_all = figures.books, figures.in_all
    if books.is_balanced:
        said = (
            f"They agree to the kopeck, line by line. Lines with their charge: "
            f"{_count(len(books.matched))}; with an ambiguous call of ours: "
            f"{_count(len(books.unattributable))}."
        )
        return Text(said, style="green")
    said = (
        f"They do not agree. Unheard: {in_all.unheard.count}; duplicates: "
        f"{in_all.duplicates.count}; amounts that differ: {len(books.differing)}; lines without "
        f"a charge: {len(books.unpaired_lines)}; charges without a line: "
        f"{len(books.unpaired_entries)}."
    )
    return Text(said, style="bold red")


def _both(sum_: Sum) -> str:
    return f"{_count(sum_.count)}{NBSP * 2}{_grouped(sum_.amount)}"


def _count(number: int) -> str:
    return f"{number:,}".replace(",", NBSP)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"


def _saved(cost: Decimal, instead_of: Decimal) -> str:
    return f"{1 - cost / instead_of:.1%}" if instead_of else "nothing"


def _money(amount: Amount | None) -> str:
    if amount is None:
        return "no amount"
    return f"{_exact(amount.value)} {_SIGNS.get(amount.currency, amount.currency)}"


def _roubles(amount: Decimal) -> str:
    return f"{_grouped(amount)}{NBSP}₽"


def _grouped(amount: Decimal) -> str:
    return f"{_fixed(amount):,f}".replace(",", NBSP)


def _exact(amount: Decimal) -> str:
    return f"{_fixed(amount):f}"


def _fixed(amount: Decimal) -> Decimal:
    """All the places that it has, and two at least."""
    short = amount.quantize(Decimal("0.01"))
    return short if short == amount else amount.normalize()


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}{NBSP}m{NBSP}{rest}{NBSP}s"
