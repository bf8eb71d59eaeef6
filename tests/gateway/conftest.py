from __future__ import annotations

from collections.abc import Iterator

import pytest

from sqlalchemy import Engine
from starlette.applications import Starlette

from cascade.channels.base import Adapter
from cascade.gateway.app import make_app
from cascade.services.deployment import Ledger
from cascade.storage.database import connect
from tests.channels.samples import a_cloud, a_devino, a_notify


@pytest.fixture
def adapters() -> dict[str, Adapter]:
    adapters: list[Adapter] = [a_notify(), a_devino(), a_cloud()]
    return {one.account: one for one in adapters}


@pytest.fixture
def app(ledger: Ledger, adapters: dict[str, Adapter]) -> Starlette:
    return make_app(
        adapters=adapters, keyring=ledger.keyring, engine=ledger.engine, trusted_hops=0
    )


@pytest.fixture
def gone() -> Iterator[Engine]:
    """A database where nobody listens."""
    engine = connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    yield engine
    engine.dispose()
