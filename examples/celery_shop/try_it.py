"""Puts one order through the shop, and another one that fails on its way; app.py says how."""

from __future__ import annotations

import argparse
import time

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from examples.celery_shop import orders
from examples.celery_shop.app import order_paid, order_placed, order_ready
from examples.celery_shop.orders import Notification, Order


EVENTS = ("placed", "paid", "ready")


def place(engine: Engine, phone: str) -> int:
    """A new order's number."""
    with Session(engine) as session, session.begin():
        order = Order(phone=phone)
        session.add(order)
        session.flush()
        return order.id


def heard(engine: Engine, order_id: int) -> dict[str, str]:
    """What the shop knows of each message of the order."""
    with Session(engine) as session:
        order = session.get_one(Order, order_id)
        ids = {event: getattr(order, f"{event}_message") for event in EVENTS}
        found = {event: session.get(Notification, one) for event, one in ids.items() if one}
    return {event: one.state if one else "nothing yet" for event, one in found.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Puts two orders through the shop.")
    parser.add_argument("phone", nargs="?", default="+79162011111")
    phone = parser.parse_args().phone

    engine = orders.connect()
    fine, failing = place(engine, phone), place(engine, phone)
    order_ready.delay(failing, "full")
    order_placed.delay(fine)
    order_paid.delay(fine)
    order_ready.delay(fine, "A7")
    while list(heard(engine, fine).values()) != ["delivered"] * len(EVENTS):
        time.sleep(0.2)
    for event, state in heard(engine, fine).items():
        print(f"order {fine}: {event} - {state}")
    print(f"order {failing}: {heard(engine, failing) or 'rolled back, and no message with it'}")
    engine.dispose()


if __name__ == "__main__":
    main()
