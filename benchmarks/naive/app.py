"""Its tasks: `celery --app benchmarks.naive.app worker`."""

from __future__ import annotations

import os

from decimal import Decimal
from urllib.parse import urlencode

import requests

from celery import Celery
from oauthlib.oauth1 import Client
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from benchmarks.naive.tables import Bill, Message


ACCOUNTS = ("notify-vk", "notify-ok")
TTL = 600
PRICE = Decimal("0.30")
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_NOT_A_USER = "0123"

app = Celery("naive", broker=os.environ["NAIVE_BROKER_URL"])
app.conf.update(task_acks_late=True, task_ignore_result=True)
engine = create_engine(os.environ["NAIVE_DATABASE_URL"], pool_size=5)
http = requests.Session()
provider = os.environ.get("NAIVE_PROVIDER_URL")  # without it, providers are in the process
signer = Client("cascade", client_secret="secret")  # noqa: S106  # nobody looks at it


@app.task(name="naive.send")
def send(message_id: int) -> None:
    """One hop of one message."""
    with Session(engine) as session:
        message = session.get_one(Message, message_id)
        if message.state != "queued":
            return
        hop = message.hop
        accepted = _call(message)
        message.state = "sent" if accepted else "queued"
        message.hop = hop if accepted else hop + 1
        session.commit()
    if accepted:
        expire.apply_async((message_id, hop), countdown=TTL)
        if provider is None:
            receive.delay(message_id)
    else:
        send.delay(message_id)


@app.task(name="naive.expire")
def expire(message_id: int, hop: int) -> None:
    """The TTL of a hop is over."""
    with Session(engine) as session:
        message = session.get_one(Message, message_id)
        if message.state == "sent" and message.hop == hop:
            message.state, message.hop = "queued", hop + 1
            session.commit()
            send.delay(message_id)


@app.task(name="naive.receive")
def receive(message_id: int) -> None:
    """One receipt."""
    with Session(engine) as session:
        message = session.get_one(Message, message_id)
        if message.state != "delivered":
            message.state = "delivered"
            session.add(Bill(message_id=message_id, amount=PRICE))
            session.commit()


def _call(message: Message) -> bool:
    """Whether the channel of this hop takes it."""
    if provider is None:
        return message.hop > 0 or message.phone[-1] not in _NOT_A_USER
    form = {"phone": message.phone, "text": message.text, "message_id": f"{message.id:032x}"}
    url = f"{provider}/{ACCOUNTS[message.hop]}/notify"
    url, headers, body = signer.sign(url, "POST", urlencode(form), _FORM)
    answer = http.post(url, data=body, headers=headers, timeout=5).json()
    return bool(answer["status"] == "ok")
