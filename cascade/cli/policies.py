"""`cascade policies`: the files, the database, and the way from one to the other."""

from __future__ import annotations

import dataclasses

from pathlib import Path

import click

from sqlalchemy import Connection

from cascade.cli.connection import database
from cascade.cli.inspection import directory_argument, tell
from cascade.cli.output import json_option, print_json, print_table
from cascade.domain.errors import InvalidInputError, shown
from cascade.domain.policy import INLINE, Step
from cascade.domain.state import Success
from cascade.services.inspect_config import inspect_policies
from cascade.services.sync import sync as sync_files
from cascade.storage.catalogue import PolicyVersion, newest_versions, versions
from cascade.storage.database import transaction


_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


@click.group()
def policies() -> None:
    """The cascades of `policies.toml`, and those of the database.

    \b
    cascade policies check           before a change of the files is deployed
    cascade policies show default    every version of one policy
    cascade policies sync            now, not at beat's next minute
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped


@policies.command(short_help="Check `policies.toml`; needs no database.")
@directory_argument
@json_option
def check(*, directory: Path, as_json: bool) -> None:
    """Check `policies.toml` of DIR by what the accounts of its `providers.toml` can do.

    DIR is CASCADE_CONFIG_DIR, or `config`. Prints every policy's problem, with its cure, and notes
    of what is allowed and better known. Needs no database. Exit code 3 if there is a problem.

    \b
    cascade policies check
    cascade policies check deploy/config --json
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    tell(inspect_policies(directory), "policies", as_json=as_json)


@policies.command(short_help="Show the policies of the database.")
@click.argument("name", required=False)
@json_option
def show(*, name: str | None, as_json: bool) -> None:
    """Show the policies of the database, and how many messages are in progress by each version.

    Without NAME: the newest version of each, and older ones that messages are still on their way
    by; those that apps wrote in Python are left out. With NAME: every version.

    \b
    cascade policies show
    cascade policies show default
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with database() as engine:
        found = transaction(engine, lambda connection: versions(connection, name))
    if name is not None and not found:
        raise InvalidInputError(
            "NAME", f"no policy {shown(name)} is in the database", "see `cascade policies show`"
        )
    rows = [one for one in found if name is not None or _is_told(one)]
    if as_json:
        print_json([_document(one) for one in rows])
    else:
        columns = ("policy", "version", "steps", "deadline", "in progress", "since")
        print_table(columns, map(_row, rows))


@policies.command(short_help="Bring the files into the database.")
@directory_argument
@json_option
def sync(*, directory: Path, as_json: bool) -> None:
    """Bring policies, rates and channels from the files of DIR into the database.

    A changed policy becomes a new version; messages on their way keep theirs. Beat does the same
    every minute. Exit code 3, and nothing is written, if a file has a problem.

    \b
    cascade policies sync
    cascade policies sync deploy/config --json
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with database() as engine:
        before = transaction(engine, _versions)
        counts = sync_files(engine, directory)
        after = transaction(engine, _versions)
    changed = {name: after[name] for name in sorted(after) if after[name] != before.get(name)}
    if as_json:
        print_json({"policies": changed, "rates": counts["rates"]})
        return
    for name, version in changed.items():
        click.echo(f"policy {name}: version {version} is new")
    if counts["rates"]:
        click.echo(f"rates: {counts['rates']} are new")
    if not changed and not counts["rates"]:
        click.echo("policies and rates of the files are in the database already")


def _versions(connection: Connection) -> dict[str, int]:
    found = newest_versions(connection)
    return {name: version for name, version in found.items() if not name.startswith(INLINE)}


def _is_told(one: PolicyVersion) -> bool:
    if one.policy.name.startswith(INLINE):
        return False
    return one.is_newest or one.in_progress > 0


def _row(one: PolicyVersion) -> tuple[object, ...]:
    return (
        one.policy.name,
        one.version,
        " → ".join(map(_step, one.policy.steps)),
        _duration(one.policy.deadline),
        f"{one.in_progress:,}",
        f"{one.created_at:%Y-%m-%d %H:%M}",
    )


def _step(step: Step) -> str:
    words = [step.channel.value, _duration(step.ttl)]
    words += ["until read"] if step.success is Success.READ else []
    words += [f"(waits {_duration(step.max_wait)})"] if step.max_wait is not None else []
    return " ".join(words)


def _duration(seconds: int) -> str:
    """As it is written in `policies.toml`: `90s`, `15m`, `72h` → `3d`."""
    for unit, size in _UNITS:
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _document(one: PolicyVersion) -> dict[str, object]:
    return {
        "name": one.policy.name,
        "version": one.version,
        "is_newest": one.is_newest,
        "steps": [dataclasses.asdict(step) for step in one.policy.steps],
        "deadline": one.policy.deadline,
        "in_progress": one.in_progress,
        "created_at": one.created_at,
    }
