from __future__ import annotations

from urllib.parse import parse_qsl, quote

import pytest

from hypothesis import given, strategies as st
from oauthlib.oauth1 import SIGNATURE_TYPE_AUTH_HEADER, Client, RequestValidator
from oauthlib.oauth1.rfc5849.endpoints import SignatureOnlyEndpoint
from typing_extensions import override

from cascade.channels.oauth import quoted, sign


URL = "https://api.example.com/notify"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

texts = st.text(st.characters(exclude_categories=["Cs"]))
names = texts.filter(lambda name: name and not name.startswith("oauth_"))


class OneClient(RequestValidator):
    """oauthlib's side of the provider."""

    enforce_ssl = True

    def __init__(self, key: str, secret: str) -> None:
        super().__init__()
        self._key, self._secret = key, secret

    @override
    def check_client_key(self, client_key: str) -> bool:
        return client_key == self._key

    @override
    def check_nonce(self, nonce: str) -> bool:
        return len(nonce) >= 20

    @override
    def validate_client_key(self, client_key: str, request: object) -> bool:
        return client_key == self._key

    @override
    def validate_timestamp_and_nonce(self, *_: object, **__: object) -> bool:
        return True

    @override
    def get_client_secret(self, client_key: str, request: object) -> str:
        return self._secret


def is_accepted(url: str, authorization: str, body: str, *, key: str, secret: str) -> bool:
    endpoint = SignatureOnlyEndpoint(OneClient(key, secret))
    headers = {**FORM, "Authorization": authorization}
    return bool(endpoint.validate_request(url, "POST", body, headers)[0])


@given(
    form=st.dictionaries(names, texts, max_size=5),
    fixed=st.dictionaries(names, texts, max_size=3),
    key=st.text("abcXYZ019-._~ /+%ключ", min_size=1),
    secret=texts,
)
def test_oauthlib_accepts_every_signature(
    form: dict[str, str], fixed: dict[str, str], key: str, secret: str
) -> None:
    signed = sign(URL, form, fixed, key=key, secret=secret)

    assert is_accepted(URL, signed.authorization, signed.body.decode(), key=key, secret=secret)
    assert dict(parse_qsl(signed.body.decode(), keep_blank_values=True)) == form | fixed


@given(text=texts)
def test_texts_are_encoded_as_the_standard_library_does(text: str) -> None:
    assert quoted(text) == quote(text, safe="~")


def test_a_form_that_was_changed_is_refused() -> None:
    signed = sign(URL, {"phone": "79161234567", "text": "Ваш заказ"}, {}, key="k", secret="s")
    changed = signed.body.decode().replace("79161234567", "79161234568")

    assert not is_accepted(URL, signed.authorization, changed, key="k", secret="s")
    assert not is_accepted(
        URL, signed.authorization, signed.body.decode(), key="k", secret="other"
    )


def test_a_nonce_is_used_once() -> None:
    first, second = (sign(URL, {"text": "x"}, {}, key="k", secret="s") for _ in range(2))

    assert first.authorization != second.authorization


@pytest.mark.parametrize("text", ["", "a b", "a+b", "ä&=%", "Ваш заказ №5 — готов\n"])
def test_the_header_is_oauthlibs_own_but_for_nonce_and_time(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cascade.channels.oauth.secrets.token_hex", lambda _: "n" * 32)
    monkeypatch.setattr("cascade.channels.oauth.time.time", lambda: 1_800_000_000.5)
    theirs = Client(
        "k",
        client_secret="s",
        nonce="n" * 32,
        timestamp="1800000000",
        signature_type=SIGNATURE_TYPE_AUTH_HEADER,
    )
    body = f"text={quote(text, safe='~')}"

    _, headers, _ = theirs.sign(URL, "POST", body, FORM)

    assert (
        sign(URL, {"text": text}, {}, key="k", secret="s").authorization
        == headers["Authorization"]
    )
