"""What documents say can be run and is there; those of the examples run it."""

from __future__ import annotations

import re

from pathlib import Path

import pytest
import yaml

from tests.examples.documents import (
    DOCUMENTS,
    ROOT,
    RUN,
    SHOWN,
    languages,
    name_of,
    shown_commands,
)


MAKE = re.compile(r"make ([a-z-]+)")
COMPOSE = re.compile(r"docker compose (?:--profile \S+ )*(?:up|stop|restart|logs|exec|run) (.*)")


@pytest.fixture(scope="module")
def targets() -> set[str]:
    """Make's."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@pytest.fixture(scope="module")
def services() -> set[str]:
    """Compose's."""
    return set(yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_code_block_is_of_a_kind_that_is_run_or_one_that_shows(path: Path) -> None:
    assert set(languages(path)) <= RUN | SHOWN


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_that_are_shown_name_what_there_is(
    path: Path, targets: set[str], services: set[str]
) -> None:
    for command in shown_commands(path):
        for target in MAKE.findall(command):
            assert target in targets, command
        for arguments in COMPOSE.findall(command.partition("#")[0]):
            [first, *_] = [*(one for one in arguments.split() if one[0] != "-"), "gateway"]
            assert first in services, command


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_link_leads_to_a_file_that_is_there(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target
