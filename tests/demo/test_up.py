from __future__ import annotations

import os

from pathlib import Path

import pytest

from demo.up import RunsAlreadyError, main, only_one


def test_a_second_one_leaves_the_files_of_the_first_alone_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "up"
    directory.mkdir()
    (directory / "env").write_text("CASCADE_GATEWAY_URL=http://127.0.0.1:1\n", "utf-8")
    with only_one(directory):
        assert main([], directory=directory) == 1
    assert capsys.readouterr().out == (
        f"make up runs already (pid {os.getpid()}); its environment is {directory}/env\n"
    )
    assert (directory / "env").exists()


def test_the_next_one_may_begin_once_the_first_has_ended(tmp_path: Path) -> None:
    for _ in range(2):
        with only_one(tmp_path / "up"), pytest.raises(RunsAlreadyError), only_one(tmp_path / "up"):
            pass


def test_to_ask_for_help_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"], directory=tmp_path / "up")
    assert ended.value.code == 0
    assert "sandbox" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
