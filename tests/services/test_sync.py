from __future__ import annotations

import shutil

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sqlalchemy import Engine, text

from cascade.domain.errors import ConfigurationError
from cascade.services.sync import sync


pytestmark = pytest.mark.integration

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name in ("policies.toml", "providers.toml", "rates.csv"):
        shutil.copy(CONFIG / name, tmp_path)
    return tmp_path


def count(engine: Engine) -> tuple[int, int]:
    with engine.begin() as connection:
        row = connection.execute(
            text(
                "SELECT (SELECT count(*) FROM cascade.policies), (SELECT count(*) FROM cascade.rates)"
            )
        ).one()
    return int(row[0]), int(row[1])


def edit(path: Path, old: str, new: str) -> None:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))


def test_what_stands_in_the_database_already_is_not_written_again(engine: Engine, config: Path):
    first = sync(engine, config)
    before = count(engine)

    assert first["policies"] > 0
    assert first["rates"] > 0
    assert +sync(engine, config) == {}
    assert count(engine) == before


def test_a_changed_policy_becomes_a_new_version_and_the_others_stay(engine: Engine, config: Path):
    sync(engine, config)
    edit(
        config / "policies.toml",
        'channel = "viber", ttl = "30s", max_wait',
        'channel = "viber", ttl = "31s", max_wait',
    )

    assert +sync(engine, config) == {"policies": 1}
    with engine.begin() as connection:
        versions = connection.execute(
            text("SELECT name, version, steps->0->>'ttl' FROM cascade.policies WHERE version > 1")
        ).all()
    assert [tuple(one) for one in versions] == [("code", 2, "31")]


def test_a_stored_rate_keeps_its_price_and_the_change_is_named(engine: Engine, config: Path):
    sync(engine, config)
    before = count(engine)
    edit(config / "rates.csv", "message,0.30,RUB,2026-01-01", "message,7.77,RUB,2026-01-01")

    with pytest.raises(ConfigurationError, match="changed"):
        sync(engine, config)
    assert count(engine) == before


@pytest.mark.parametrize("name", ["policies.toml", "rates.csv", "providers.toml"])
def test_of_files_with_a_mistake_nothing_is_written(engine: Engine, config: Path, name: str):
    (config / name).write_text("mistake")

    with pytest.raises(ConfigurationError, match=name):
        sync(engine, config)
    assert count(engine) == (0, 0)


def test_processes_that_sync_at_once_write_one_version(engine: Engine, config: Path):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(sync, engine, config) for _ in range(4)]:
            done.result()

    alone = count(engine)
    assert +sync(engine, config) == {}
    assert count(engine) == alone
    with engine.begin() as connection:
        assert (
            connection.execute(text("SELECT max(version) FROM cascade.policies")).scalar_one() == 1
        )
