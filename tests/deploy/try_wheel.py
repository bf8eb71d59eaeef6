"""`make wheel-test`: the wheel in an empty environment, as an app gets it from an index.

Not a test of the suite, since it needs the index: the dependencies come from there, in the versions
that the wheel's own ranges allow today.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import tempfile
import venv

from collections.abc import Mapping
from pathlib import Path

from cascade import embedded
from cascade.services.sync import sync
from cascade.storage.database import connect


ROOT = Path(__file__).parents[2]

APP = """
from __future__ import annotations

import uuid

from cascade import Cascade, MessageState

cascade = Cascade.from_env()
message_id: uuid.UUID = cascade.send(to="+79161234567", text="Ваш заказ собран", key="order-1")
assert cascade.send(to="+79161234567", text="Ваш заказ собран", key="order-1") == message_id
assert cascade.status(message_id).state is MessageState.IN_PROGRESS
assert cascade.cancel(message_id)
cascade.close()
"""
WRONG = "from cascade import Cascade\nCascade.from_env().send(to=79161234567, text='')\n"


def main() -> int:
    """Raises CalledProcessError, with what was said, at the first thing that does not work."""
    [wheel] = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="cascade-wheel-") as path:
        _try(Path(wheel).resolve(), Path(path))
    return 0


def _try(wheel: Path, directory: Path) -> None:
    python = _environment(wheel, directory)
    with embedded.postgres(directory) as database_url, embedded.valkey(directory) as broker_url:
        environ = _environ(database_url, broker_url)
        _run(python, "-m", "cascade.migrate", environ=environ, directory=directory)
        sync(connect(database_url), ROOT / "config")
        (directory / "app.py").write_text(APP, "utf-8")
        _run(python, "-X", "dev", "app.py", environ=environ, directory=directory)
    sys.stdout.write("a script accepted, found and cancelled a message\n")
    command = str(Path(python).with_name("cascade"))
    helped = _run(command, "--help", environ={}, directory=directory)
    assert "send-csv" in helped, helped
    sys.stdout.write(f"{_run(command, '--version', environ={}, directory=directory)}")
    _check_types(python, directory)
    sys.stdout.write("mypy sees the types\n")


def _environment(wheel: Path, directory: Path) -> str:
    venv.create(directory / "venv", with_pip=False)
    python = str(directory / "venv" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    subprocess.run([*pip, "install", "--quiet", str(wheel)], check=True)
    return python


def _check_types(python: str, directory: Path) -> None:
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python]
    _run(*mypy, "app.py", environ=os.environ, directory=directory)
    (directory / "wrong.py").write_text(WRONG, "utf-8")
    found = subprocess.run(
        [*mypy, "wrong.py"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert '"to"' in found.stdout, found.stdout


def _environ(database_url: str, broker_url: str) -> dict[str, str]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "CASCADE_DATABASE_URL": database_url,
        "CASCADE_BROKER_URL": broker_url,
        "CASCADE_SEAL_KEYS": f"k1:{key}",
        "CASCADE_HASH_KEY": key,
    }


def _run(*command: str, environ: Mapping[str, str], directory: Path) -> str:
    """What it prints; it runs outside of the checkout, and knows nothing of it."""
    done = subprocess.run(
        command, cwd=directory, env=dict(environ), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
