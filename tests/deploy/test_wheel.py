from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile

from email.parser import HeaderParser
from pathlib import Path

import pytest

from deploy.make_env import ROOT


BUILD = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"

# What only some processes or commands work with: an app that sends must not wait for it.
HEAVY = {
    "aiohttp",
    "alembic",
    "flower",
    "matplotlib",
    "opentelemetry.sdk",
    "prometheus_client",
    "rich",
    "starlette",
    "requests",
    "uvicorn",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The wheel, made without an index, and all that the making said."""
    source = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("cascade", "workers", "config", "tests"):
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    made = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=source, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return next(source.glob("*.whl")), made.stdout + made.stderr


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, str]) -> zipfile.ZipFile:
    return zipfile.ZipFile(built[0])


def test_the_making_warns_of_nothing(built: tuple[Path, str]) -> None:
    assert "!!" not in built[1]
    assert "Warning" not in built[1]


def test_the_wheel_holds_every_module_of_cascade_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "cascade").rglob("*.py")}
    assert inside - modules == {"cascade/py.typed", "cascade/storage/migrations/script.py.mako"}
    assert modules <= inside


def test_the_wheel_brings_the_command_the_licence_and_the_readme(wheel: zipfile.ZipFile) -> None:
    names = {Path(name).name: name for name in wheel.namelist() if ".dist-info/" in name}
    points = configparser.ConfigParser()
    points.read_string(wheel.read(names["entry_points.txt"]).decode())
    assert points["console_scripts"]["cascade"] == "cascade.cli.main:main"
    metadata = HeaderParser().parsestr(wheel.read(names["METADATA"]).decode())
    assert metadata["License-Expression"] == "MIT"
    assert "LICENSE" in names
    assert "# Cascade" in metadata.get_payload()


@pytest.mark.parametrize("name", ["Cascade", "Producer"])
def test_an_app_that_sends_does_not_load_what_it_never_uses(name: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; from cascade import {name}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & set(loaded.stdout.split())
