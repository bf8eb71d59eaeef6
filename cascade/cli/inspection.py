"""How a look over the config files is told, and where those files are."""

from __future__ import annotations

from pathlib import Path

import click

from cascade.cli.exits import MISCONFIGURED
from cascade.cli.output import print_json
from cascade.services.inspect_config import Inspection


directory_argument = click.argument(
    "directory",
    metavar="[DIR]",
    envvar="CASCADE_CONFIG_DIR",
    default="config",
    type=click.Path(path_type=Path),
)


def tell(found: Inspection, kind: str, *, as_json: bool) -> None:
    """Prints problems and notes, and ends the command with 3 if there is a problem."""
    if as_json:
        print_json({kind: found.count, "problems": found.problems, "notes": found.notes})
    else:
        for problem in found.problems:
            click.echo(f"problem  {problem}")
        for note in found.notes:
            click.echo(f"note     {note}")
        if not found.problems:
            click.echo(f"{found.count} {kind}, no problem")
    if found.problems:
        click.get_current_context().exit(MISCONFIGURED)
