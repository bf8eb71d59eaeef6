"""The secret in the path of unsigned webhooks: its strength, its rotation, its digest."""

from __future__ import annotations

import hashlib
import secrets

import pytest

from pydantic import ValidationError

from cascade.channels.account import Confirmation
from cascade.channels.base import UnsayableError
from cascade.channels.notify import Notify
from cascade.channels.smsc import Smsc
from tests.channels.samples import SECRET, TOKEN, a_notify, a_smsc


def fields_of(token: str) -> dict[str, object]:
    """What makes an account at Notify with this `webhook_token`."""
    given = a_notify().model_dump(exclude={"tokens", "client_secret"})
    return {**given, "client_secret": SECRET, "webhook_token": token}


def with_token(token: str) -> Notify:
    return Notify.model_validate(fields_of(token))


def with_confirm(confirm: str) -> Smsc:
    given = a_smsc().model_dump(exclude={"tokens", "password", "confirm"})
    return Smsc.model_validate(
        {**given, "password": SECRET, "webhook_token": TOKEN, "confirm": confirm}
    )


def digest(token: str) -> str:
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


@pytest.mark.parametrize(
    "token",
    [
        "",
        " , ",
        "x" * 64,
        "canary-short",
        "0123456789abcdef0123456789abcde",  # 31 hexadecimal characters: 124 bits
        "12345678901234567890123456789012345678",  # 38 decimal ones: 126 bits
        "abcdefghijklmnopqrstuvwx",  # 24 of 36: 124 bits
        "AbCdEfGhIjKlMnOpQrStU",  # 21 of 64: 126 bits
        f"{TOKEN},canary-short",
        f"{TOKEN}/..",
        f"{TOKEN}%2F",
        f"{TOKEN} {TOKEN}",
        "sha256:0123",
        f"md5:{'0' * 64}",
    ],
)
def test_a_token_that_can_be_guessed_is_refused_and_not_shown(token: str):
    with pytest.raises(ValidationError) as caught:
        with_token(token)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("draw", [secrets.token_urlsafe, secrets.token_hex])
def test_any_128_bits_drawn_at_random_are_taken(draw):
    for _ in range(200):
        with_token(draw(16))


def test_the_first_token_is_given_out_and_all_are_accepted():
    newer = secrets.token_urlsafe(16)
    account = with_token(f"{newer}, {TOKEN}")
    assert account.webhook_url.endswith(f"/receipts/notify-vk/{newer}")
    assert account.token_digests == with_token(newer).token_digests | a_notify().token_digests


def test_a_digest_stands_for_its_token_where_nobody_gives_it_out():
    account = with_token(digest(TOKEN))
    assert account.token_digests == a_notify().token_digests
    assert not account.is_token_known
    with pytest.raises(UnsayableError):
        _ = account.webhook_url


def test_a_delivery_is_confirmed_only_where_the_provider_can_be_asked():
    assert with_confirm("poll").confirm is Confirmation.POLL
    assert a_notify().confirm is Confirmation.NONE
    with pytest.raises(ValidationError, match="cannot be asked"):
        Notify.model_validate({**fields_of(TOKEN), "confirm": "poll"})
