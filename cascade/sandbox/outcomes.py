"""What becomes of a message: the last five digits of its phone choose, one for each channel."""

from __future__ import annotations

from enum import StrEnum


class Channel(StrEnum):
    """In the order of the phone's last five digits."""

    VK = "vk"
    OK = "ok"
    VIBER = "viber"
    WHATSAPP = "whatsapp"
    SMS = "sms"


class Outcome(StrEnum):
    """One way a message can go, in the words of `docs/sandbox.md`."""

    DRAWN = "drawn from the distribution"
    AT_ONCE = "delivered at once"
    AFTER_A_WHILE = "delivered after a while"
    READ = "delivered, then read"
    NOT_A_USER_AT_ONCE = "not a user, at once"
    NOT_A_USER = "not a user, by webhook"
    NEVER = "accepted, never a final word"
    TWICE = "every webhook twice"
    OUT_OF_ORDER = "webhooks out of order"
    THROTTLED = "throttled twice, then delivered"
    UNAVAILABLE = "503 twice, then delivered"
    SILENT = "accepted, never answered, then delivered"
    RECEIPT_FIRST = "the receipt before the answer"
    BLOCKED = "blocked by the person, by webhook"
    LATE_AFTER_TTL = "delivered 8 s after its TTL"
    LATE = "delivered 38 s after acceptance"
    EXPIRED = "expired, by webhook"
    TEMPLATE_PAUSED = "template paused, at once"
    UNDELIVERABLE_AT_ONCE = "cannot be delivered, at once"
    UNDELIVERABLE = "undeliverable, by webhook"


_FIRST = (Outcome.DRAWN, Outcome.AT_ONCE, Outcome.AFTER_A_WHILE)

TABLE: dict[Channel, tuple[Outcome, ...]] = {  # the outcomes of the digits 0 to 9
    Channel.VK: (
        *_FIRST,
        Outcome.READ,
        Outcome.NOT_A_USER_AT_ONCE,
        Outcome.NOT_A_USER,
        Outcome.NEVER,
        Outcome.TWICE,
        Outcome.THROTTLED,
        Outcome.SILENT,
    ),
    Channel.OK: (
        *_FIRST,
        Outcome.READ,
        Outcome.NOT_A_USER_AT_ONCE,
        Outcome.NOT_A_USER,
        Outcome.NEVER,
        Outcome.OUT_OF_ORDER,
        Outcome.UNAVAILABLE,
        Outcome.RECEIPT_FIRST,
    ),
    Channel.VIBER: (
        *_FIRST,
        Outcome.READ,
        Outcome.NOT_A_USER,
        Outcome.BLOCKED,
        Outcome.NEVER,
        Outcome.LATE_AFTER_TTL,
        Outcome.EXPIRED,
        Outcome.SILENT,
    ),
    Channel.WHATSAPP: (
        *_FIRST,
        Outcome.READ,
        Outcome.NOT_A_USER,
        Outcome.TEMPLATE_PAUSED,
        Outcome.NEVER,
        Outcome.LATE,
        Outcome.THROTTLED,
        Outcome.SILENT,
    ),
    Channel.SMS: (
        *_FIRST,
        Outcome.TWICE,
        Outcome.UNDELIVERABLE,
        Outcome.UNDELIVERABLE_AT_ONCE,
        Outcome.NEVER,
        Outcome.OUT_OF_ORDER,
        Outcome.THROTTLED,
        Outcome.SILENT,
    ),
}

_PLACES = {channel: place for place, channel in enumerate(Channel)}


def outcome_of(channel: Channel, phone: str) -> Outcome:
    """What `phone` (E.164) chooses on `channel`."""
    return TABLE[channel][int(phone[-5:][_PLACES[channel]])]
