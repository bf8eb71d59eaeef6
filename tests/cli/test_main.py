from __future__ import annotations

import subprocess
import sys

from collections.abc import Iterator

import click
import pytest

from cascade.cli.main import main
from tests.cli.conftest import Run
from tests.services.journey import PHONE, WORDS, Journey


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(leaves(main)), ids=" ".join)
def test_every_command_shows_examples_and_speaks_to_machines(run: Run, path: tuple[str, ...]):
    shown = run(*path, "--help").stdout
    body = shown.split("\n", 1)[1]

    assert f"cascade {' '.join(path)}" in body
    assert "--json" in shown


def groups(group: click.Group) -> Iterator[tuple[str, click.Group]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield name, command


@pytest.mark.parametrize("name", [name for name, _ in groups(main)])
def test_a_group_shows_examples_too(run: Run, name: str):
    shown = run(name, "--help").stdout

    examples = [line for line in shown.splitlines() if line.startswith(f"  cascade {name} ")]
    assert len(examples) >= 2


@pytest.mark.parametrize("group", [main, *(one for _, one in groups(main))], ids=lambda g: g.name)
def test_no_summary_of_a_command_is_cut_on_a_terminal_of_80_columns(group: click.Group):
    context = click.Context(group)
    names = group.list_commands(context)
    room = 80 - 2 - 6 - max(map(len, names))  # click's own margins

    for name in names:
        command = group.get_command(context, name)
        assert command is not None
        summary = command.get_short_help_str(room)
        assert not summary.endswith("...")
        assert 0 < len(summary) <= room


def test_the_exit_codes_are_told(run: Run):
    said = " ".join(run("--help").stdout.split())

    assert "Exit codes: 0 done; 1 the answer is no; 2 wrong use or a refused value" in said
    assert "3 configuration; 4 database or broker away; 130 Ctrl-C" in said


def test_the_commands_are_those_of_the_documents():
    assert set(main.list_commands(click.Context(main))) == {
        *("send", "send-csv", "status", "trace", "cancel", "report", "reconcile"),
        *("policies", "rates", "callbacks", "keys", "migrate", "doctor"),
    }


@pytest.mark.integration
def test_a_database_without_the_schema_is_told_what_to_do(
    environment: dict[str, str], bare_database_url: str, run: Run
):
    environment["CASCADE_DATABASE_URL"] = bare_database_url

    result = run("send", "--to", PHONE, "--text", WORDS)

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("cascade: database: the schema is missing")
    assert result.stderr.endswith("run `cascade migrate`\n")


@pytest.mark.integration
def test_a_reader_who_has_seen_enough_leaves_no_traceback(
    environment: dict[str, str], journey: Journey
):
    message_id = journey.send()
    command = [sys.executable, "-c", "from cascade.cli.main import main; main()"]
    with subprocess.Popen(
        [*command, "trace", message_id.hex],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert (process.returncode, said) == (1, "")
