from __future__ import annotations

import shutil
import stat
import subprocess
import sys

from pathlib import Path

from cascade.settings import ServiceSettings
from deploy.make_env import ROOT, filled
from tests.deploy.compose import sample, variables_of


EXAMPLE = (ROOT / ".env.example").read_text("utf-8")


def test_every_secret_is_made_and_none_of_them_twice() -> None:
    empty = {name for name, value in variables_of(EXAMPLE).items() if not value}
    first, second = sample(), sample()
    made = empty - {"CASCADE_CALLBACK_BROKERS"}
    assert all(first[name] and first[name] != second[name] for name in made)
    assert len({first[name] for name in made}) == len(made)


def test_the_example_holds_no_secret_and_its_values_stay() -> None:
    given = {line for line in EXAMPLE.splitlines() if not line.endswith("=")}
    assert given <= set(filled(EXAMPLE).splitlines())
    names = {line.partition("=")[0] for line in given if not line.startswith("#")}
    assert not [one for one in names if one.endswith(("_SECRET", "_TOKEN", "_KEY", "_KEYS"))]


def test_the_service_can_read_what_is_made() -> None:
    values = {
        name.removeprefix("CASCADE_").lower(): value
        for name, value in sample().items()
        if name.startswith("CASCADE_")
    }
    settings = ServiceSettings(**values)  # type: ignore[arg-type]  # texts, as an environment has
    assert settings.keyring()


def test_an_env_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "make_env.py", tmp_path / "deploy")
    shutil.copy(ROOT / ".env.example", tmp_path)
    command = [sys.executable, "-I", "-S", str(tmp_path / "deploy" / "make_env.py")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    written = (tmp_path / ".env").read_bytes()
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "stays" in again.stderr
    assert (tmp_path / ".env").read_bytes() == written
