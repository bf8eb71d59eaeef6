"""Numbers that the weather treats in a certain way."""

from __future__ import annotations

from cascade.sandbox.faults import Faults
from cascade.sandbox.weather import Weather
from tests.sandbox.running import SEED, phone_for


def phones(channel, digit=1):
    return (phone_for(channel, digit, start=f"79{n:04}") for n in range(1000))


def faults_of(account, **shares):
    return Faults(Weather(**shares), seed=SEED, account=account)


def ambiguous_phone(channel, account, kind, *, accepted):
    """A number whose first send turns out like that."""
    for phone in phones(channel):
        drawn = faults_of(account, ambiguous=1).ambiguity(f"+{phone}")
        if (drawn.kind, drawn.accepted) == (kind, accepted):
            return phone
    raise AssertionError(kind)
