"""OAuth 1.0 signatures of forms (RFC 5849, HMAC-SHA1): each text is encoded once, for the signature
and for the body, and what an account says in all its forms once for all.

Our own, since oauthlib encodes each text three times, letter by letter: half of a channel worker's
CPU. The tests hold it to oauthlib, which verifies what is signed here
(docs/adr/0026-signed-forms.md).
"""

from __future__ import annotations

import base64
import functools
import hmac
import re
import secrets
import time

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from oauthlib.oauth1.rfc5849.signature import base_string_uri


_RESERVED = re.compile("[^A-Za-z0-9._~-]+")  # RFC 3986: all but these is encoded


class SignedForm(NamedTuple):
    """The value of the `Authorization` header, and the body of a POST."""

    authorization: str
    body: bytes


def sign(
    url: str, form: Mapping[str, str], fixed: Mapping[str, str], *, key: str, secret: str
) -> SignedForm:
    """A form to be posted to `url`, signed with a nonce and a timestamp of its own.

    `url` has no query; `key` and `secret` are the consumer's. `fixed` belongs to the form: the fields
    that are the same for every message, which are kept in memory for ever.
    """
    words = {
        "oauth_nonce": secrets.token_hex(16),
        "oauth_timestamp": str(int(time.time())),
        "oauth_version": "1.0",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_consumer_key": _kept(key),
    }
    pairs = {_kept(name): quoted(value) for name, value in form.items()}
    pairs |= {_kept(name): _kept(value) for name, value in fixed.items()}
    signed = _joined(sorted((words | pairs).items()))
    base = f"POST&{_normal(url)}&{_quoted_again(signed)}"
    words["oauth_signature"] = quoted(_signature(base, secret))
    said = ", ".join(f'{name}="{value}"' for name, value in words.items())
    return SignedForm(f"OAuth {said}", _joined(pairs.items()).encode())


def quoted(text: str) -> str:
    """Percent-encoded as RFC 5849, section 3.6, wants it."""
    return _RESERVED.sub(_encoded, text)


_kept = functools.cache(quoted)  # for settings and names, of which there are few


@functools.cache
def _normal(url: str) -> str:
    """Encoded as it is signed; each account posts to one."""
    return quoted(base_string_uri(url))


def _encoded(found: re.Match[str]) -> str:
    return "%" + found[0].encode().hex("%").upper()


def _quoted_again(pairs: str) -> str:
    """`quoted`, of what is encoded and joined: that has no other reserved characters."""
    return pairs.replace("%", "%25").replace("&", "%26").replace("=", "%3D")


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


def _signature(base: str, secret: str) -> str:
    digest = hmac.digest(f"{_kept(secret)}&".encode(), base.encode(), "sha1")
    return base64.b64encode(digest).decode()
