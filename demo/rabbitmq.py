"""A RabbitMQ for one run, where its server is installed: PyPI has no wheel of it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from cascade.embedded import LAUNCH
from demo.environment import free_ports


PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # of Debian's and Red Hat's packages
START_SECONDS = 60
VHOSTS = ("tests", "campaign", "queues", "chaos")  # each is a broker of its own


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """A running node; nothing of it outlives the block that started it."""

    home: Path
    port: int
    password: str = field(repr=False)

    def url(self, vhost: str) -> str:
        """The address of one of `VHOSTS`."""
        return f"amqp://cascade:{self.password}@127.0.0.1:{self.port}/{vhost}"


def missing() -> str | None:
    """Why no node can be started; None if one can."""
    if not PROGRAM.exists():
        return "no rabbitmq-server is installed"
    return None if _mapper() else "Erlang's epmd is not installed"


@contextmanager
def rabbitmq(home: Path) -> Iterator[RabbitMQ]:
    """A node with its files, ports, cookie and port mapper (epmd) to itself."""
    home.mkdir(mode=0o700)
    amqp, distribution, mapper = free_ports(3)
    node = RabbitMQ(home, amqp, secrets.token_hex(16))
    _configure(node)
    environ = _environ(home, distribution=distribution, mapper=mapper)
    processes = [
        _start([str(_mapper()), "-address", "127.0.0.1", "-port", str(mapper)], home, environ),
        _start([str(PROGRAM)], home, environ),
    ]
    try:
        _await(amqp)
        yield node
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _mapper() -> str | None:
    return shutil.which("epmd")


def _configure(node: RabbitMQ) -> None:
    definitions = node.home / "definitions.json"
    definitions.write_text(json.dumps(_definitions(node.password)))
    (node.home / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{node.port}\n"
        f"load_definitions = {definitions}\n"
        "log.file = rabbit.log\n"
        # These guard a machine's last memory and disk, by holding publishers up.
        "vm_memory_high_watermark.absolute = 2GB\n"
        "disk_free_limit.absolute = 1MB\n"
    )
    (node.home / "enabled_plugins").write_text("[].")
    (node.home / "environment").touch()


def _definitions(password: str) -> dict[str, object]:
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    user = {
        "name": "cascade",
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }
    everything = {"user": "cascade", "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [user],
        "vhosts": [{"name": name} for name in VHOSTS],
        "permissions": [everything | {"vhost": name} for name in VHOSTS],
    }


def _environ(home: Path, *, distribution: int, mapper: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),  # where Erlang keeps its cookie
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
        "ERL_MAX_PORTS": "4096",  # of the limit of open files it would make a table
        "RABBITMQ_NODENAME": "cascade@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "environment"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        # Two schedulers that sleep when idle; the node listens to nobody from outside.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
        ),
    }


def _start(command: Sequence[str], home: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process that is interrupted when this one dies, however it dies."""
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), "", ""]
    with (home / "output").open("ab") as output:
        return subprocess.Popen(  # noqa: S603  # our own launcher and the system's server
            [*launcher, *command],
            cwd=home,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _await(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while not _listens(port):
        if time.monotonic() > until:
            raise TimeoutError(f"RabbitMQ was not ready within {START_SECONDS} s")
        Event().wait(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
