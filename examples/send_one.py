"""Sends one message, waits for its end, and tells what was tried and what it cost.

    make up                                    # in another terminal
    set -a; . .cascade/up/env; set +a
    .venv/bin/python examples/send_one.py +79161244441

In the sandbox the last five digits choose what happens: 44441 is a user of nothing but SMS.
"""

from __future__ import annotations

import argparse
import time
import uuid

from cascade import AttemptStatus, Cascade, MessageStatus, Template


# WhatsApp takes the first message to a person by a template only, registered with Meta before.
ORDER_READY = Template(
    "order_ready",
    language="ru",
    parameters={"name": "#name#", "order": "#order#", "amount": "#amount#"},
)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Sends one message and waits for its end.")
    parser.add_argument("to", help="a phone number, such as +79161244441")
    to = parser.parse_args().to

    cascade = Cascade.from_env()  # one per process
    message_id = cascade.send(
        to=to,
        text="#name#, ваш заказ №#order# на #amount# ₽ собран и ждёт вас. "
        "Пункт выдачи открыт до 21:00.",
        templates={"whatsapp": ORDER_READY},
        variables={"name": "Анна", "order": "7318", "amount": "4 990"},
    )
    print(f"accepted as {message_id}")
    status = wait_for_the_end(cascade, message_id)
    for attempt in status.attempts:
        print(line(attempt))
    print(summary(status))
    cascade.close()


def wait_for_the_end(cascade: Cascade, message_id: uuid.UUID) -> MessageStatus:
    """Asks twice a second: fine for a script; an app is told, by `on_status` or `events`."""
    while True:
        status = cascade.status(message_id)
        if status.ended_at is not None:
            return status
        time.sleep(0.5)


def line(attempt: AttemptStatus) -> str:
    """One step of the cascade, such as `  sms       delivered    2.00 RUB`."""
    outcome = attempt.error or ""
    if attempt.cost is not None:
        outcome = f"{attempt.cost:.2f} {attempt.currency}"
    return f"  {attempt.channel:<10}{attempt.state:<15}{outcome}".rstrip()


def summary(status: MessageStatus) -> str:
    """How it ended: the channel if it was delivered, the time, and the whole cost."""
    took = (status.ended_at or status.created_at) - status.created_at
    channel = f" by {status.channel}" if status.success_met else ""
    cost = ", ".join(f"{amount:.2f} {currency}" for currency, amount in status.cost.items())
    return f"{status.state}{channel} in {took.total_seconds():.1f} s for {cost or 'nothing'}"


if __name__ == "__main__":
    main()
