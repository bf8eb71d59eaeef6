"""`cascade keys`: making the keys that seal, and moving to a new one."""

from __future__ import annotations

import base64
import itertools
import secrets
import time

from collections.abc import Collection, Sequence

import click

from kombu.exceptions import OperationalError
from pydantic_settings import BaseSettings
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import Engine

from cascade.cli.connection import database
from cascade.cli.exits import REFUSED
from cascade.cli.output import console, json_option, print_json
from cascade.dispatch import ENQUEUE, queue_lengths
from cascade.domain.errors import ConfigurationError
from cascade.services.reseal import KeySettings, Rotation, reseal
from cascade.settings import KEY_BYTES, BrokerSettings, DatabaseSettings, SealKeys, load
from cascade.storage.database import transaction
from cascade.storage.reseal import estimated_rows
from cascade.storage.sealing import Keyring


class SealKeySettings(BaseSettings):
    """The sealing keys alone."""

    model_config = DatabaseSettings.model_config

    seal_keys: SealKeys


@click.group()
def keys() -> None:
    """The keys that seal phone numbers and texts at rest.

    \b
    cascade keys new >> cascade.env
    cascade keys rotate
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped


@keys.command(short_help="Make keys, and print them as lines of an env file.")
@click.option(
    "--seal-key",
    "only_seal_key",
    is_flag=True,
    help="One more sealing key, put before those of CASCADE_SEAL_KEYS.",
)
@json_option
def new(*, only_seal_key: bool, as_json: bool) -> None:
    """Make keys and print them as lines of an env file. They are secrets: keep them as such.

    The first of CASCADE_SEAL_KEYS seals, all of them open. CASCADE_HASH_KEY never changes: by it a
    recipient is found.

    \b
    cascade keys new >> cascade.env
    cascade keys new --seal-key      the line to set before `cascade keys rotate`

    Before a process seals by a new key, all must know it. Start everything again with the new line;
    where the old and the new run side by side meanwhile, first start all with the new key put last.
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    present = _present() if only_seal_key else {}
    sealing = {_new_id(present): _new_key(), **present}
    lines = {"CASCADE_SEAL_KEYS": ",".join(f"{name}:{key}" for name, key in sealing.items())}
    if not only_seal_key:
        lines["CASCADE_HASH_KEY"] = _new_key()
    if as_json:
        print_json(lines)
    else:
        for name, value in lines.items():
            click.echo(f"{name}={value}")


@keys.command(short_help="Seal again, by the first key, what others have sealed.")
@json_option
@click.pass_context
def rotate(ctx: click.Context, *, as_json: bool) -> None:
    """Seal again, by the first key of CASCADE_SEAL_KEYS, what other keys have sealed.

    Goes over all messages and receipts in small sets while the service runs. It may be cut off and
    run again. In the end it says whether the old keys can be dropped; exit code 1 if not.

    \b
    cascade keys new --seal-key      the line to set; start everything again with it
    cascade keys rotate
    cascade keys rotate --json
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    settings = load(KeySettings)
    newest, *old = settings.seal_keys
    with database() as engine:
        done = _rotate(engine, settings.keyring(), newest)
    doubts = done.doubts(_waiting_requests())
    if as_json:
        print_json(_document(done, newest, old, doubts))
    else:
        _tell(done, newest, old, doubts)
    if doubts:
        ctx.exit(REFUSED)


def _rotate(engine: Engine, keyring: Keyring, newest: str) -> Rotation:
    """Rotates, and shows how far it is."""
    columns = (
        TextColumn("round {task.fields[round]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows, {task.fields[rate]:,.0f}/s"),
    )
    started_at = time.monotonic()
    with Progress(*columns, console=console(stderr=True)) as bar:
        about = transaction(engine, estimated_rows)
        task = bar.add_task("", total=about or None, round=1, rate=0.0)

        def progress(done: Rotation) -> None:
            rate = done.looked_in_all / (time.monotonic() - started_at)
            bar.update(
                task,
                completed=done.looked,
                total=max(about, done.looked) or None,  # the estimate may be below
                round=done.round,
                rate=rate,
            )

        return reseal(engine, keyring, newest, progress)


def _waiting_requests() -> int | None:
    """How many sealed requests wait in the broker; None if it cannot be asked."""
    try:
        return queue_lengths(load(BrokerSettings).broker_url.get_secret_value())[ENQUEUE]
    except (ConfigurationError, OperationalError, OSError, ValueError):
        return None


def _document(
    done: Rotation, newest: str, old: Sequence[str], doubts: Sequence[str]
) -> dict[str, object]:
    return {
        "key": newest,
        "old_keys": old,
        "resealed": done.resealed,
        "closed": done.closed,
        "may_drop_old_keys": not doubts,
        "doubts": doubts,
    }


def _tell(done: Rotation, newest: str, old: Sequence[str], doubts: Sequence[str]) -> None:
    counts = " and ".join(f"{count:,} {table}" for table, count in done.resealed.items())
    click.echo(f"sealed again by {newest}: {counts}")
    for doubt in doubts:
        click.echo(f"not yet: {doubt}")
    if not doubts and old:
        click.echo(
            f"{', '.join(old)} can be dropped from CASCADE_SEAL_KEYS, once every app, worker and"
            f" gateway was started again with {newest} in front"
        )


def _present() -> dict[str, str]:
    """The sealing keys of the environment, in base64 by id."""
    found = load(SealKeySettings).seal_keys
    return {name: _encoded(key.get_secret_value()) for name, key in found.items()}


def _new_id(present: Collection[str]) -> str:
    """By this day, such as `k20261122`; with a number behind it if that is taken."""
    today = time.strftime("k%Y%m%d", time.gmtime())
    names = itertools.chain([today], (f"{today}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in present)


def _new_key() -> str:
    return _encoded(secrets.token_bytes(KEY_BYTES))


def _encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()
