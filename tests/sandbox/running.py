"""The sandbox in a thread of its own, and honest clients of its five accounts."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import requests

from requests_oauthlib import OAuth1  # type: ignore[import-untyped]  # it has no types

from cascade.sandbox.app import Sandbox
from cascade.sandbox.clock import Tempo
from cascade.sandbox.ledger import Ledger
from cascade.sandbox.outcomes import Channel
from cascade.sandbox.weather import FAIR_EVERYWHERE, Forecast


SEED = 7
TEMPO = Tempo(scale=0.0005, second=0.02)

VIBER_PASSWORD = "viber-secret"
TOKEN = "bearer-secret"
RUBLES = {"unit": "message", "currency": "RUB"}


def config_of(webhook_url: str):
    return {
        "notify-vk": notify("vk-key", "vk-secret"),
        "notify-ok": notify("ok-key", "ok-secret"),
        "devino-viber": {
            "login": "shop",
            "password": VIBER_PASSWORD,
            "subjects": ["SHOP"],
            "webhook_url": webhook_url,
            "prices": [{"prefix": "+7", "price": "1.20", **RUBLES}],
        },
        "cloud-whatsapp": {
            "token": TOKEN,
            "app_secret": "app-secret",
            "phone_number_id": "1055",
            "verify_token": "verify-me",
            "webhook_url": webhook_url,
            "templates": [{"name": "order_ready", "language": "ru", "parameters": 2}],
            "open_windows": ["+79161111511"],
            "prices": [{"prefix": "7", "price": "4.50", **RUBLES}],
        },
        "smsc": {
            "login": "shop",
            "password": "sms-secret",
            "senders": ["SHOP"],
            "webhook_url": webhook_url,
            "prices": [
                {"prefix": "+7", "price": "2.35", "unit": "segment", "currency": "RUB"},
                {"prefix": "+77", "price": "0.045", "unit": "segment", "currency": "EUR"},
            ],
        },
    }


def notify(client_key: str, client_secret: str):
    return {
        "client_key": client_key,
        "client_secret": client_secret,
        "templates": {"ready": "Заказ #number# готов. Сумма: #sum# ₽"},
        "prices": [{"prefix": "+7", "price": "0.30", **RUBLES}],
    }


def phone_for(channel: Channel, digit: int, *, start: str = "791600") -> str:
    """Digits of a number that chooses `digit` on `channel` and 1 on the others."""
    choices = [str(digit) if channel is other else "1" for other in Channel]
    return start + "".join(choices)


class Running:
    def __init__(
        self, config, ledger: Ledger, *, webhook_url: str, forecast: Forecast = FAIR_EVERYWHERE
    ) -> None:
        self.webhook_url = webhook_url
        self.http = requests.Session()
        self.http.trust_env = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._sandbox = self._run(self._started(config, ledger, forecast))
        self.port = self._run(self._sandbox.start(0))
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.http.close()
        self._run(self._sandbox.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lines(self):
        return [json.loads(line) for line in self.http.get(f"{self.url}/ledger").text.splitlines()]

    def of(self, event):
        return [line for line in self.lines() if line["event"] == event]

    def ledger(self):
        """What became of messages, without how they came in and how it was told."""
        return [line for line in self.lines() if line["event"] not in {"called", "told"}]

    def events(self):
        return [line["event"] for line in self.ledger()]

    def settle(self) -> None:
        """Returns once nothing is pending."""
        deadline = time.monotonic() + 10
        while self.http.get(f"{self.url}/pending").json()["pending"]:
            assert time.monotonic() < deadline, "still pending"

    def notify(self, account="notify-vk", *, key=None, secret=None, without=(), **changes):
        network = account.removeprefix("notify-")
        form = {
            "phone": phone_for(Channel(network), 1),
            "text": "Заказ 42 готов. Сумма: 1 900 ₽",
            "ttl": "3600",
            "routes": network.upper(),
            "message_id": "a" * 32,
            "status_url": self.webhook_url,
        } | changes
        form = {name: value for name, value in form.items() if name not in without}
        auth = OAuth1(key or f"{network}-key", secret or f"{network}-secret")
        return self.http.post(f"{self.url}/{account}/notify", data=form, auth=auth, timeout=5)

    def viber(self, *items, password=VIBER_PASSWORD, common=None):
        body = {
            "resendSms": "false",
            "commonData": {
                "subject": "SHOP",
                "priority": "high",
                "validityPeriodSec": 60,
                "type": "viber",
                "contentType": "text",
                "content": {"text": "Заказ 42 готов"},
            }
            | (common or {}),
            "messages": list(items),
        }
        return self.devino("send", body, password=password)

    def devino(self, path, body, *, password=VIBER_PASSWORD):
        url = f"{self.url}/devino-viber/{path}"
        return self.http.post(url, json=body, auth=("shop", password), timeout=5)

    def whatsapp(self, *, token=TOKEN, number="1055", **changes):
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": phone_for(Channel.WHATSAPP, 1),
            "type": "template",
            "template": template("order_ready", "42", "1900"),
            "biz_opaque_callback_data": "b" * 32,
        } | changes
        url = f"{self.url}/cloud-whatsapp/v23.0/{number}/messages"
        headers = {"Authorization": f"Bearer {token}"}
        return self.http.post(url, json=body, headers=headers, timeout=5)

    def sms(self, path="send", **changes):
        form = {
            "login": "shop",
            "psw": "sms-secret",
            "fmt": "3",
            "charset": "utf-8",
            "id": "c" * 32,
            "phones": phone_for(Channel.SMS, 1),
            "mes": "Заказ 42 готов",
            "sender": "SHOP",
        } | changes
        return self.http.post(f"{self.url}/smsc/sys/{path}.php", data=form, timeout=5)

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    async def _started(self, config, ledger, forecast):
        return Sandbox(config, ledger=ledger, seed=SEED, tempo=TEMPO, forecast=forecast)


def template(name: str, *values: str, language: str = "ru"):
    parameters = [{"type": "text", "text": value} for value in values]
    return {
        "name": name,
        "language": {"code": language, "policy": "deterministic"},
        "components": [{"type": "body", "parameters": parameters}],
    }
