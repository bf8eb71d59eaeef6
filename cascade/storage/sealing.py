"""Recipients and texts at rest: AES-GCM with the key's id beside the bytes, and a keyed hash.

A sealed value is: length of the key id (1 byte), key id, nonce (12 bytes), ciphertext with tag.
The context (such as `recipient:<message id>`) is authenticated, so rows cannot be swapped.
"""

from __future__ import annotations

import os

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC


_NONCE = 12


class UnsealableError(Exception):
    """The value was sealed by a key that is not known here, or was altered or moved."""


class UnknownKeyError(UnsealableError):
    """The key that sealed it is not known here (yet)."""


class Keyring:
    """Seals with the first key, opens with any; hashes with a key that does not rotate."""

    def __init__(self, keys: Mapping[str, bytes], hash_key: bytes) -> None:
        """`keys`: 32-byte keys by id, the sealing one first; `hash_key`: at least 32 bytes."""
        self._by_head = {_head(key_id): AESGCM(key) for key_id, key in keys.items()}
        self._head, self._sealing = next(iter(self._by_head.items()))
        self._hmac = HMAC(hash_key, SHA256())

    def seal(self, plain: bytes, context: str) -> bytes:
        """`plain`, unreadable without the key and bound to `context`."""
        nonce = os.urandom(_NONCE)
        return self._head + nonce + self._sealing.encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """What `seal` was given; raises UnknownKeyError, or UnsealableError."""
        start = 1 + sealed[0] if sealed else 0
        cipher = self._by_head.get(sealed[:start])
        if cipher is None:
            msg = "sealed by a key that is not in CASCADE_SEAL_KEYS"
            raise UnknownKeyError(msg)
        nonce, body = sealed[start : start + _NONCE], sealed[start + _NONCE :]
        try:
            return cipher.decrypt(nonce, body, context.encode())
        except (InvalidTag, ValueError):  # ValueError: cut short
            msg = f"altered, or not sealed as {context.split(':', maxsplit=1)[0]}"
            raise UnsealableError(msg) from None

    def hash(self, value: bytes) -> bytes:
        """A keyed hash (HMAC-SHA256): equal for equal values, and no use without the key."""
        keyed = self._hmac.copy()  # twice as fast as a new one
        keyed.update(value)
        return keyed.finalize()


def _head(key_id: str) -> bytes:
    return bytes([len(key_id.encode())]) + key_id.encode()
