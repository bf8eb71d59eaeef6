"""Every code block of every document is run, on the real service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from pathlib import Path

import pytest

from tests.examples.documents import DOCUMENTS, ROOT, RUN, languages, name_of
from tests.examples.running import Examples


pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("campaign"),  # which waits meanwhile
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where somebody is who follows a document: it has all that the documents name."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "examples").mkdir()
    rows = (ROOT / "examples" / "recipients.csv").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "examples" / "recipients.csv").write_text("".join(rows[:20]), "utf-8")
    return tmp_path


@pytest.fixture
def environ(examples: Examples) -> dict[str, str]:
    """The reader's environment: that of the running service."""
    return {
        **examples.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if RUN & set(languages(path))], ids=name_of
)
def test_the_code_blocks_of_a_document_run(
    path: Path, directory: Path, environ: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.examples.documents", str(path)],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
