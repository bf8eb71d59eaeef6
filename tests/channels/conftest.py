from __future__ import annotations

import pytest

from cascade.channels.base import Item
from cascade.channels.cloud import Cloud
from cascade.channels.devino import Devino
from cascade.channels.notify import Notify
from cascade.channels.smsc import Smsc
from tests.channels.samples import a_cloud, a_devino, a_notify, a_smsc, an_item


@pytest.fixture
def notify() -> Notify:
    return a_notify()


@pytest.fixture
def devino() -> Devino:
    return a_devino()


@pytest.fixture
def cloud() -> Cloud:
    return a_cloud()


@pytest.fixture
def smsc() -> Smsc:
    return a_smsc()


@pytest.fixture(params=["notify", "devino", "cloud", "smsc"])
def adapter(request: pytest.FixtureRequest) -> Notify | Devino | Cloud | Smsc:
    found: Notify | Devino | Cloud | Smsc = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def item() -> Item:
    return an_item()
