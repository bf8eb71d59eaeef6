"""`cascade migrate`: the schema of this code, in the database."""

from __future__ import annotations

import click

from cascade.cli.connection import database
from cascade.cli.output import json_option, print_json
from cascade.storage.database import transaction
from cascade.storage.health import revision


@click.command(short_help="Bring the database to the newest schema.")
@json_option
def migrate(*, as_json: bool) -> None:
    """Bring the database of CASCADE_DATABASE_URL to the newest schema.

    Safe at any time and from many places at once: services go on meanwhile, and wait 3 seconds at
    most. Exit code 4 if others keep a table for a minute; the same command then goes on. All of it
    stands in the database's schema `cascade`, apart from what else is there.

    \b
    cascade migrate          before the first start, and before newer code is started
    cascade migrate --json
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    # Here, since every other command would wait for Alembic to load.
    from cascade.storage.migrate import upgrade  # noqa: PLC0415  # see above

    with database() as engine:
        before = transaction(engine, revision)
        upgrade(engine)
        after = transaction(engine, revision)
    if as_json:
        print_json({"before": before, "after": after})
    elif before == after:
        click.echo(f"the schema is at revision {after}, the newest, already")
    else:
        click.echo(f"the schema is at revision {after} now; before: {before or 'none'}")
