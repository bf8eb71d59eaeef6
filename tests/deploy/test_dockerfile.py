from __future__ import annotations

import fnmatch
import json
import re
import tomllib

import pytest

from deploy.make_env import ROOT
from tests.deploy.dockerfile import Stage, copied, stages


IMAGES = ["service", "sandbox"]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def whole(name: str) -> list[Stage]:
    """A stage and those that it stands on."""
    stage = stages()[name]
    return [stage, *(whole(stage.parent) if stage.parent in stages() else [])]


def pins(path: str) -> dict[str, str]:
    """Versions by package."""
    return dict(PIN.findall((ROOT / path).read_text("utf-8")))


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path through to the build; its last fitting line decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        if pattern and (fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/")):
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("stage", stages())
def test_what_is_copied_exists_and_reaches_the_build(stage: str) -> None:
    for source, _ in copied(stage):
        assert (ROOT / source).exists(), source
        assert is_sent(source), source


@pytest.mark.parametrize("path", [".env", ".git/config", ".venv/bin/python", "tests/conftest.py"])
def test_secrets_and_what_no_image_needs_stay_out_of_the_build(path: str) -> None:
    assert not is_sent(path)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_numbered_user_that_is_not_root(image: str) -> None:
    user, group = (stages()[image].last("USER") or "").split(":")
    assert int(user) > 1000
    assert int(group) > 1000
    made = [one.said for stage in whole(image) for one in stage.instructions]
    assert any(f"--uid {user} " in said and f"--gid {group} " in said for said in made)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_gets_its_signals_and_writes_its_logs_at_once(image: str) -> None:
    command = stages()[image].last("CMD")
    assert command
    assert json.loads(command)  # a shell in between would keep SIGTERM to itself
    instructions = [one for stage in whole(image) for one in stage.instructions]
    assert "SIGTERM" in [one.said for one in instructions if one.word == "STOPSIGNAL"]
    assert any("PYTHONUNBUFFERED=1" in one.said for one in instructions if one.word == "ENV")


@pytest.mark.parametrize("stage", stages())
def test_no_secret_is_baked_in(stage: str) -> None:
    settings = [one.said for one in stages()[stage].instructions if one.word in {"ENV", "ARG"}]
    assert not re.search(r"SECRET|PASSWORD|TOKEN|KEY", " ".join(settings))


def test_the_images_packages_are_those_of_the_lock_and_each_is_held_to_its_hash() -> None:
    locked = pins("deploy/requirements.lock")
    assert locked.items() <= pins("requirements.lock").items()
    text = (ROOT / "deploy" / "requirements.lock").read_text("utf-8")
    entries = re.sub(r" \\\n\s+", " ", text).splitlines()
    pinned = [entry for entry in entries if "==" in entry]
    assert len(pinned) == len(locked)
    assert all("--hash=sha256:" in entry for entry in pinned)


def test_the_service_has_what_it_needs_and_nothing_of_the_laptops() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    locked = pins("deploy/requirements.lock").keys()
    assert {names(one) for one in project["dependencies"]} <= locked
    assert {names(one) for one in extras["tracing"]} <= locked
    for extra in ("embedded", "examples", "dev"):
        assert not {names(one) for one in extras[extra]} & locked


def names(requirement: str) -> str:
    """The package of a requirement."""
    return re.split(r"[^A-Za-z0-9-]", requirement)[0].lower()
