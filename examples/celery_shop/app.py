"""A shop on Celery: it sends in three ways, and a task of its own hears what became of it.

    make up                                    # in another terminal
    set -a; . .cascade/up/env; set +a
    .venv/bin/celery --app examples.celery_shop.app worker --queues shop --concurrency 2

and, to see it work, in a third one, with the same environment:

    .venv/bin/python -m examples.celery_shop.try_it

The shop's broker is its own, SHOP_BROKER_URL: apps that share one database of a Redis also share
the shortest of their visibility timeouts. Cascade's service knows it under the name `shop`, from
CASCADE_CALLBACK_BROKERS.
"""

from __future__ import annotations

import functools
import os
import uuid

from celery import Celery
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cascade import Cascade, OnStatus, Producer
from examples.celery_shop import orders
from examples.celery_shop.orders import Order


shop = Celery("shop", broker=os.environ["SHOP_BROKER_URL"])
shop.conf.update(
    task_default_queue="shop",
    task_ignore_result=True,
    task_acks_late=True,  # a killed worker's task comes again, which the keys make harmless
)

US = "celery-shop"  # keys, limits and reports are per sender
TELL_US = OnStatus(task="shop.on_status", queue="shop", broker="shop")
OUR_IDS = uuid.UUID("5b4a9e4e-5b0c-4bb2-8b0e-0c7f5d0f6a11")


# Once per worker process, and not before it is forked: connections cannot be shared.
@functools.cache
def cascade() -> Cascade:
    return Cascade.from_env()


@functools.cache
def producer() -> Producer:
    return Producer.from_env()


@functools.cache
def database() -> Engine:
    return orders.connect()


@shop.task(name="shop.order_placed")
def order_placed(order_id: int) -> None:
    """The plain way: the message is accepted as `send` returns.

    If we die before our own commit, the task comes again, and the key gives the same id.
    """
    with Session(database()) as session, session.begin():
        order = session.get_one(Order, order_id)
        order.placed_message = cascade().send(
            to=order.phone,
            text="Заказ №#order# принят.",
            variables={"order": str(order_id)},
            key=f"order-{order_id}-placed",
            sender=US,
            on_status=TELL_US,
        )


@shop.task(name="shop.order_paid")
def order_paid(order_id: int) -> None:
    """By the broker alone, for apps that do not reach Cascade's database: accepted soon after.

    The id is ours to choose; of several tasks with one id, one message comes.
    """
    with Session(database()) as session, session.begin():
        order = session.get_one(Order, order_id)
        order.paid_message = producer().enqueue(
            message_id=uuid.uuid5(OUR_IDS, f"order-{order_id}-paid"),
            to=order.phone,
            text="Заказ №#order# оплачен.",
            variables={"order": str(order_id)},
            sender=US,
            on_status=TELL_US,
        )


@shop.task(name="shop.order_ready")
def order_ready(order_id: int, shelf: str) -> None:
    """Within the shop's transaction: the order is ready and its customer is told, or neither."""
    with Session(database()) as session, session.begin():
        order = session.get_one(Order, order_id)
        order.shelf = shelf
        order.ready_message = cascade().send(
            to=order.phone,
            text="Заказ №#order# собран и ждёт вас.",
            variables={"order": str(order_id)},
            key=f"order-{order_id}-ready",
            sender=US,
            on_status=TELL_US,
            session=session,
        )
        if shelf == "full":
            raise LookupError("there is no room on the shelf")  # and nobody is called to it


@shop.task(name="shop.on_status")
def on_status(message_id: str, state: str, sequence: int) -> None:
    """Cascade calls this at each change of a message's state: at least once, in order."""
    with Session(database()) as session, session.begin():
        orders.hear(session, uuid.UUID(message_id), state, sequence)
