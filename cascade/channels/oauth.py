"""OAuth 1.0 signatures of forms (RFC 5849, HMAC-SHA1), by the steps that oauthlib offers.

Its `Client.sign` takes the form apart that was put together just before: three times the CPU.
"""

from __future__ import annotations

import logging

from collections.abc import Mapping

from oauthlib.common import generate_nonce, generate_timestamp
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA1, Client
from oauthlib.oauth1.rfc5849.parameters import prepare_headers
from oauthlib.oauth1.rfc5849.signature import (
    base_string_uri,
    normalize_parameters,
    sign_hmac_sha1_with_client,
    signature_base_string,
)


# At DEBUG it logs what it signs, which is the phone number and the text.
logging.getLogger("oauthlib.oauth1").setLevel(logging.INFO)


def authorization(url: str, form: Mapping[str, str], *, key: str, secret: str) -> str:
    """The `Authorization` header of a POST of `form` to `url`, with a nonce and a timestamp of its own.

    `url` has no query; `key` and `secret` are the consumer's.
    """
    signer = Client(key, client_secret=secret)
    words = [
        ("oauth_nonce", generate_nonce()),
        ("oauth_timestamp", generate_timestamp()),
        ("oauth_version", "1.0"),
        ("oauth_signature_method", SIGNATURE_HMAC_SHA1),
        ("oauth_consumer_key", key),
    ]
    pairs = normalize_parameters([*words, *form.items()])  # type: ignore[arg-type]  # it takes pairs
    base = signature_base_string("POST", base_string_uri(url), pairs)
    signed = [*words, ("oauth_signature", sign_hmac_sha1_with_client(base, signer))]
    return str(prepare_headers(signed)["Authorization"])  # type: ignore[no-untyped-call]  # theirs
