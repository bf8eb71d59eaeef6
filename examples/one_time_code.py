"""A one-time code: it overtakes everything else, and after a minute nobody wants it any more.

make up                                    # in another terminal
set -a; . .cascade/up/env; set +a
.venv/bin/python examples/one_time_code.py +79161211111
.venv/bin/python examples/one_time_code.py +79161211511    # blocked in Viber: an SMS follows

"""

from __future__ import annotations

import argparse
import datetime as dt
import secrets
import time
import uuid

from dataclasses import dataclass, field

from cascade import Cascade, MessageStatus, PolicyStep


LIFETIME = dt.timedelta(seconds=60)

# Devino takes no Viber message for less than 30 s; together the steps fill the lifetime.
VIBER_THEN_SMS = [PolicyStep(channel="viber", ttl="30s"), PolicyStep(channel="sms", ttl="30s")]


@dataclass(frozen=True)
class Login:
    """One attempt to log in, as the app has stored it before anything is sent."""

    id: uuid.UUID
    phone: str = field(repr=False)
    code: str = field(repr=False)
    asked_at: dt.datetime


def send_code(cascade: Cascade, login: Login) -> uuid.UUID:
    """Safe to repeat: everything follows from the stored login, so the same key means the same
    request, and only one message goes out however often the form is posted.
    """
    return cascade.send(
        to=login.phone,
        text="Код для входа: #code#. Никому его не сообщайте.",
        texts={"sms": "#code# - код для входа"},  # one segment
        variables={"code": login.code},
        policy=VIBER_THEN_SMS,
        priority="urgent",
        key=f"login-{login.id}",
        deadline=login.asked_at + LIFETIME,
    )


def wait_for_the_end(cascade: Cascade, message_id: uuid.UUID) -> MessageStatus:
    """Every step ends in time, so this does too."""
    while (status := cascade.status(message_id)).ended_at is None:
        time.sleep(0.1)
    return status


def channels(status: MessageStatus) -> str:
    """`by viber`, or `by sms, after viber`."""
    *before, last = (attempt.channel for attempt in status.attempts)
    return ", after ".join([f"by {last}", *before])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Sends a one-time code.")
    parser.add_argument("phone")
    login = Login(
        id=uuid.uuid4(),
        phone=parser.parse_args().phone,
        code=f"{secrets.randbelow(10**6):06}",
        asked_at=dt.datetime.now(dt.UTC),
    )
    cascade = Cascade.from_env()
    message_id = send_code(cascade, login)
    if send_code(cascade, login) == message_id:
        print("asked twice, accepted once")
    status = wait_for_the_end(cascade, message_id)
    took = (status.ended_at or status.created_at) - status.created_at
    print(f"{status.state} {channels(status)} in {took.total_seconds():.1f} s")
    cascade.close()


if __name__ == "__main__":
    main()
