"""The FastAPI and the Django shop send on an event, within their own transactions."""

from __future__ import annotations

import pytest
import requests

from tests.acceptance.waiting import until
from tests.examples.running import Examples


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def test_the_fastapi_shop_sends_once_however_often_the_event_comes(examples: Examples) -> None:
    shop = examples.serve_http(
        "fastapi-shop", "-m uvicorn examples.fastapi_shop.app:app --port {port}"
    )
    customer = {"phone": "+79163011111"}
    first, again = (
        requests.post(f"{shop}/orders/17/ready", json=customer, timeout=10) for _ in range(2)
    )
    assert first.status_code == 202
    assert first.json() == again.json()
    page = f"{shop}/orders/17/notification"
    assert await_end(page) == {"state": "delivered", "channel": "vk", "cost": {"RUB": "0.300000"}}

    other = {"phone": "+79163011112"}
    assert requests.post(f"{shop}/orders/17/ready", json=other, timeout=10).status_code == 409
    refused = requests.post(f"{shop}/orders/18/ready", json={"phone": "12345"}, timeout=10)
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("to: ")
    assert requests.get(f"{shop}/orders/18/notification", timeout=10).status_code == 404


def test_the_django_shop_sends_with_its_commit_and_nothing_with_its_rollback(
    examples: Examples,
) -> None:
    examples.run("-m examples.django_shop.manage migrate --run-syncdb --verbosity 0")
    shop = examples.serve_http(
        "django-shop", "-m examples.django_shop.manage runserver --noreload {port}"
    )
    fine, failing, wrong = (
        place(shop, phone) for phone in ("+79164011111", "+79164111111", "12345")
    )
    assert ready(shop, failing, shelf="full").status_code == 409
    assert ready(shop, wrong, shelf="A7").status_code == 422
    assert ready(shop, fine, shelf="A7").status_code == 202
    examples.change(
        "UPDATE shop_order SET phone = :phone WHERE id = :id", phone="+79164011112", id=fine
    )
    assert ready(shop, fine, shelf="A8").status_code == 409
    page = f"{shop}/orders/{fine}/notification"
    assert await_end(page) == {"state": "delivered", "channel": "vk"}
    assert examples.rows("SELECT id FROM shop_order WHERE is_ready") == [(fine,)]
    [(count,)] = examples.rows(
        "SELECT count(*) FROM cascade.messages WHERE sender = 'django-shop'"
    )
    assert count == 1


def place(shop: str, phone: str) -> int:
    answer = requests.post(f"{shop}/orders", data={"phone": phone}, timeout=10)
    return int(answer.json()["id"])


def ready(shop: str, order: int, *, shelf: str) -> requests.Response:
    return requests.post(f"{shop}/orders/{order}/ready", data={"shelf": shelf}, timeout=10)


def await_end(page: str) -> dict[str, object]:
    """What the page says once it is no longer in progress."""

    def ended() -> dict[str, object]:
        found: dict[str, object] = requests.get(page, timeout=10).json()
        return {} if found["state"] == "in_progress" else found

    return until(ended, seconds=20, what="end of the message")
