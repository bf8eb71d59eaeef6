"""`cascade doctor`: what is well, what is not, and what to do about it."""

from __future__ import annotations

import click

from rich.markup import escape

from cascade.cli.exits import REFUSED
from cascade.cli.output import json_option, print_json, print_table
from cascade.services.doctor import NAMES, Diagnosis, examine
from cascade.services.finding import Health


_COLOURS = {Health.OK: "green", Health.WARNING: "yellow", Health.RED: "bold red"}


def _named(_ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> list[str]:
    """The checks that are named, `a,b` or one by one; all of them if none is."""
    names = [name.strip() for one in given for name in one.split(",") if name.strip()]
    for name in names:
        if name not in NAMES:
            known = ", ".join(NAMES)
            raise click.BadParameter(f"there is no check {name!r}; there are {known}", param=param)
    return names or list(NAMES)


@click.command(short_help="Look the deployment over, and say what to do.")
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="CHECK,…",
    callback=_named,
    help=f"Only these: {', '.join(NAMES)}.",
)
@click.option("--no-tick", is_flag=True, help="Do not ask whether the tick runs.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, names: list[str], no_tick: bool, as_json: bool) -> None:
    """Look the deployment over: a line for each check, and what to do where it is not well.

    Exit code 1 if anything is red. No check takes longer than 3 seconds, whatever hangs, and each
    asks only for the settings that it needs.

    \b
    cascade doctor
    cascade doctor --no-tick                 before beat is started
    cascade doctor --only database,broker    the health check of a container
    cascade doctor --json
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    found = list(examine([name for name in names if not (no_tick and name == "tick")]))
    is_well = all(one.state is not Health.RED for one in found)
    if as_json:
        print_json({"is_well": is_well, "checks": found})
    else:
        print_table(("check", "state", "seen", "what to do"), map(_row, found))
    if not is_well:
        ctx.exit(REFUSED)


def _row(one: Diagnosis) -> tuple[str, ...]:
    colour = _COLOURS[one.state]
    return one.name, f"[{colour}]{one.state}[/]", escape(one.seen), escape(one.cure)
