"""OAuth 1.0 signatures, verified by oauthlib."""

from __future__ import annotations

from collections.abc import Mapping

from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint
from typing_extensions import override

from cascade.sandbox.recent import Recent


_TIMESTAMP_LIFETIME = 600  # seconds


class _OneClient(RequestValidator):
    """Knows one client. oauthlib's own checks of key and nonce lengths refuse keys in use."""

    enforce_ssl = False  # loopback
    timestamp_lifetime = _TIMESTAMP_LIFETIME
    allowed_signature_methods = ("HMAC-SHA1",)
    dummy_client = "nobody"

    def __init__(self, client_key: str, client_secret: str) -> None:
        super().__init__()
        self._client_key = client_key
        self._client_secret = client_secret
        self._nonces = Recent(_TIMESTAMP_LIFETIME)

    @override
    def check_client_key(self, client_key: str) -> bool:
        return bool(client_key)

    @override
    def check_nonce(self, nonce: str) -> bool:
        return bool(nonce)

    @override
    def validate_client_key(self, client_key: str, request: object) -> bool:
        return client_key == self._client_key

    @override
    def get_client_secret(self, client_key: str, request: object) -> str:
        return self._client_secret if client_key == self._client_key else "nothing"

    @override
    def validate_timestamp_and_nonce(
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: object,
        request_token: str | None = None,
        access_token: str | None = None,
    ) -> bool:
        return self._nonces.is_new((timestamp, nonce))


class Signatures:
    """Says whether a form request was signed with the account's key and secret, for once."""

    def __init__(self, client_key: str, client_secret: str) -> None:
        self._endpoint = SignatureOnlyEndpoint(_OneClient(client_key, client_secret))

    def fit(self, url: str, body: str, headers: Mapping[str, str]) -> bool:
        """Whether a POST of `body` is signed; with a repeated nonce it is not."""
        signed = {name: headers.get(name, "") for name in ("Authorization", "Content-Type")}
        try:
            valid, _ = self._endpoint.validate_request(url, "POST", body, signed)
        except ValueError:  # oauthlib's word for a header that it cannot read
            return False
        return bool(valid)
