"""What tests of adapters are made of."""

from __future__ import annotations

from cascade.channels.base import HttpResponse, Item, Webhook
from cascade.channels.cloud import Cloud
from cascade.channels.devino import Devino
from cascade.channels.notify import Notify
from cascade.channels.smsc import Smsc
from cascade.domain.message import Body, Text


REF = "0123456789abcdef0123456789abcdef"
PHONE = "+79161234567"
WORDS = "Ваш заказ готов"
TOKEN = "canary-webhook-token-0123456789"
SECRET = "canary-secret"


def an_item(attempt_id: int = 1, *, body: Body | None = None, client_ref: str = REF) -> Item:
    return Item(
        attempt_id=attempt_id,
        client_ref=client_ref,
        phone=PHONE,
        body=body or Text(WORDS),
        ttl=60,
    )


def answer(
    body: bytes | str, *, status: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    raw = body.encode() if isinstance(body, str) else body
    return HttpResponse(status=status, headers=headers or {}, body=raw)


def webhook(body: bytes | str, headers: dict[str, str] | None = None) -> Webhook:
    raw = body.encode() if isinstance(body, str) else body
    return Webhook(headers=headers or {}, query={}, body=raw)


def a_notify() -> Notify:
    return Notify.model_validate(
        {
            "account": "notify-vk",
            "channel": "vk",
            "base_url": "https://notify.example",
            "gateway_url": "https://cascade.example",
            "webhook_token": TOKEN,
            "client_key": "shop",
            "client_secret": SECRET,
            "service": "shop",
        }
    )


def a_devino() -> Devino:
    return Devino.model_validate(
        {
            "account": "devino-viber",
            "channel": "viber",
            "base_url": "https://viber.devinotele.com:444",
            "gateway_url": "https://cascade.example",
            "webhook_token": TOKEN,
            "login": "shop",
            "password": SECRET,
            "subject": "Shop",
        }
    )


def a_cloud() -> Cloud:
    return Cloud.model_validate(
        {
            "account": "cloud-whatsapp",
            "channel": "whatsapp",
            "base_url": "https://graph.facebook.com",
            "gateway_url": "https://cascade.example",
            "phone_number_id": "1234567890",
            "access_token": SECRET,
            "app_secrets": "canary-secret-new, canary-secret-old",
            "verify_token": "canary-secret-verify",
        }
    )


def a_smsc() -> Smsc:
    return Smsc.model_validate(
        {
            "account": "smsc",
            "channel": "sms",
            "base_url": "https://smsc.ru",
            "gateway_url": "https://cascade.example",
            "webhook_token": TOKEN,
            "login": "shop",
            "password": SECRET,
            "sender": "Shop",
        }
    )
