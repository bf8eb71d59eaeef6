from __future__ import annotations

from collections.abc import Iterator

import pytest

from sqlalchemy import Engine

from cascade.storage.database import connect
from cascade.storage.sealing import Keyring


@pytest.fixture
def bare_engine(bare_database_url: str) -> Iterator[Engine]:
    engine = connect(bare_database_url, pool_size=4)
    yield engine
    engine.dispose()


@pytest.fixture
def keyring() -> Keyring:
    return Keyring({"new": b"n" * 32, "old": b"o" * 32}, b"h" * 32)
