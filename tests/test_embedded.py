from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from redis.backoff import NoBackoff
from redis.retry import Retry

from cascade.embedded import EmbeddedError, postgres, start_postgres, start_valkey, valkey


pytestmark = pytest.mark.integration

ENDS_BY_KILL = """
import os, signal, sys
from pathlib import Path
from cascade.embedded import start_valkey
print(start_valkey(Path(sys.argv[1])).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture(scope="module")
def database_url(directory: Path) -> Iterator[str]:
    with postgres(directory, durable=False) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


def setting(database: sa.Connection, name: str) -> str:
    return str(database.scalar(sa.text("SELECT current_setting(:name)"), {"name": name}))


def test_postgresql_speaks_utf8_and_utc_and_takes_two_hundred_connections(
    database: sa.Connection,
) -> None:
    found = {name: setting(database, name) for name in ("server_encoding", "TimeZone")}
    assert found == {"server_encoding": "UTF8", "TimeZone": "UTC"}
    assert setting(database, "max_connections") == "200"


def test_postgresql_asks_for_the_password(database_url: str) -> None:
    wrong = sa.make_url(database_url).set(password="wrong")
    with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
        sa.create_engine(wrong, poolclass=sa.NullPool).connect()


def test_a_second_start_finds_the_first_ones_data_and_is_durable_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    with postgres(tmp_path, durable=False) as url:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            assert setting(connection, "fsync") == "off"
            connection.execute(sa.text("CREATE TABLE kept ()"))
    with postgres(tmp_path) as url:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            assert sa.inspect(connection).has_table("kept")
            assert setting(connection, "fsync") == setting(connection, "synchronous_commit")
            assert setting(connection, "fsync") == "on"


def test_a_second_postgresql_on_the_same_data_is_refused_with_the_servers_own_words(
    database_url: str, directory: Path
) -> None:
    with pytest.raises(EmbeddedError, match=r"postmaster\.pid"):
        start_postgres(directory, durable=False)


def test_valkey_refuses_rather_than_forgets_and_keeps_its_data(tmp_path: Path) -> None:
    with valkey(tmp_path) as url, redis.Redis.from_url(url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.set("kept", "yes")
    with valkey(tmp_path) as url, redis.Redis.from_url(url, decode_responses=True) as client:
        assert client.get("kept") == "yes"


def test_valkey_asks_for_the_password(tmp_path: Path) -> None:
    with valkey(tmp_path, durable=False) as url:
        port = int(url.rsplit(":", 1)[1].removesuffix("/0"))
        stranger = redis.Redis(port=port, retry=Retry(NoBackoff(), 0))
        with pytest.raises(redis.AuthenticationError), stranger:
            stranger.ping()


def test_passwords_are_for_the_owners_eyes_only(tmp_path: Path) -> None:
    server = start_valkey(tmp_path, durable=False)
    server.stop()
    password = (tmp_path / "valkey" / "password").read_text()
    assert password in server.url
    assert password not in repr(server)
    for name in ("password", "valkey.conf"):
        assert stat.S_IMODE((tmp_path / "valkey" / name).stat().st_mode) == 0o600


def test_the_terminals_interrupt_does_not_reach_a_server(tmp_path: Path) -> None:
    server = start_valkey(tmp_path, durable=False)
    try:
        assert os.getpgid(server.pid) == server.pid != os.getpgrp()
    finally:
        server.stop()


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    server = start_valkey(tmp_path, durable=False)
    server.stop()
    server.stop()
    assert server.process.returncode == 0


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_a_server_does_not_outlive_a_killed_owner(tmp_path: Path) -> None:
    owner = subprocess.run(
        [sys.executable, "-c", ENDS_BY_KILL, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert owner.returncode == -signal.SIGKILL
    with suppress(ProcessLookupError):  # it has ended, and init has buried it
        assert select.select([os.pidfd_open(int(owner.stdout))], [], [], 30)[0]
