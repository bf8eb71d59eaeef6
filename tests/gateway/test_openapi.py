"""Every endpoint of the gateway's description, with all that Schemathesis can think of."""

from __future__ import annotations

import functools

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import yaml

from hypothesis import HealthCheck, given, settings, strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.applications import Starlette

from demo.environment import ROOT
from tests.channels.samples import TOKEN
from tests.gateway.serving import serving
from tests.services.journey import Journey


pytestmark = pytest.mark.integration

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@functools.cache
def operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(description())
    return [one.ok() for one in schema.get_all_operations()]  # type: ignore[union-attr]  # it raises


def description() -> dict[str, Any]:
    """As it is published, with the accounts and the token that the tests have."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "gateway.openapi.yaml").read_text())
    accounts = ["notify-vk", "devino-viber", "cloud-whatsapp", "nobody"]
    found["components"]["parameters"]["account"]["schema"]["enum"] = accounts
    [_, token] = found["paths"]["/receipts/{account}/{token}"]["parameters"]
    token["schema"]["enum"] = [TOKEN, TOKEN + "x"]
    return found


@pytest.fixture
def url(app: Starlette, journey: Journey) -> Iterator[str]:
    # /healthz is well, then, however long this takes.
    journey.change("UPDATE cascade.ticks SET ticked_at = cascade.clock() + interval '1 hour'")
    with serving(app) as (host, port):
        yield f"http://{host}:{port}"


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_request_is_a_fault_and_every_answer_is_described(url: str, data: st.DataObject):
    operation = data.draw(st.sampled_from(operations()))
    mode = data.draw(st.sampled_from(list(GenerationMode)))
    case = data.draw(operation.as_strategy(generation_mode=mode))

    case.call_and_validate(base_url=url, checks=CHECKS)
