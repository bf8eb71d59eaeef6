"""Every code block of every document is run, on the real service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from pathlib import Path

import pytest
import yaml

from tests.acceptance.documents import (
    DOCUMENTS,
    ROOT,
    RUN,
    SHOWN,
    languages,
    shown_commands,
)
from tests.acceptance.service import Service


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

MAKE = re.compile(r"make ([a-z-]+)")
COMPOSE = re.compile(r"docker compose (?:--profile \S+ )*(?:up|stop|restart|logs|exec|run) (.*)")


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where somebody is who follows a document: it has all that the documents name."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "examples").mkdir()
    rows = (ROOT / "examples" / "recipients.csv").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "examples" / "recipients.csv").write_text("".join(rows[:20]), "utf-8")
    return tmp_path


@pytest.fixture
def environ(service: Service) -> dict[str, str]:
    """The reader's environment: that of the running service."""
    of_service = service.stack.environ
    database = of_service["CASCADE_DATABASE_URL"].partition("://")[2]
    return (
        dict(os.environ)
        | of_service
        | {
            "SHOP_DATABASE_URL": f"postgresql+psycopg2://{database}",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
    )


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if RUN & set(languages(path))], ids=names
)
def test_the_code_blocks_of_a_document_run(
    path: Path, directory: Path, environ: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.acceptance.documents", str(path)],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_a_code_block_is_of_a_kind_that_is_run_or_one_that_shows(path: Path) -> None:
    assert set(languages(path)) <= RUN | SHOWN


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_commands_that_are_shown_name_what_there_is(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    services = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"])
    for command in shown_commands(path):
        for target in MAKE.findall(command):
            assert target in targets, command
        for arguments in COMPOSE.findall(command.partition("#")[0]):
            [first, *_] = [*(one for one in arguments.split() if one[0] != "-"), "gateway"]
            assert first in services, command


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_a_link_leads_to_a_file_that_is_there(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target
