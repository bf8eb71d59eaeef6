"""What is written sealed, and under which context: recipients, contents, raw receipts."""

from __future__ import annotations

import uuid

from collections.abc import Mapping

import orjson

from cascade.domain.message import Content, Template
from cascade.storage.sealing import Keyring


def seal_recipient(keyring: Keyring, message_id: uuid.UUID, phone: str) -> bytes:
    """`phone`: E.164."""
    return keyring.seal(phone.encode(), f"recipient:{message_id}")


def open_recipient(keyring: Keyring, message_id: uuid.UUID | str, sealed: bytes) -> str:
    """E.164; raises UnsealableError."""
    return keyring.open(sealed, f"recipient:{message_id}").decode()


def seal_content(
    keyring: Keyring, message_id: uuid.UUID, content: Content, *, key: str | None = None
) -> bytes:
    """The content as JSON, sealed; with the caller's key where an endpoint is to be told of it."""
    fields: dict[str, object] = {
        "text": content.text,
        "texts": content.texts,
        "variables": content.variables,
        "templates": content.templates,
    }
    if key is not None:
        fields["key"] = key
    # Keys are texts; those of a caller may be of a subclass.
    plain = orjson.dumps(fields, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return keyring.seal(plain, f"content:{message_id}")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no sealed form for {type(value).__name__}")


def open_content(keyring: Keyring, message_id: uuid.UUID | str, sealed: bytes) -> Content:
    """Raises UnsealableError."""
    plain = orjson.loads(keyring.open(sealed, f"content:{message_id}"))
    return Content(
        text=plain["text"],
        texts=plain.get("texts", {}),  # sealed before there were any
        variables=plain["variables"],
        templates={
            channel: Template(**template) for channel, template in plain["templates"].items()
        },
    )


def open_key(keyring: Keyring, message_id: uuid.UUID, sealed: bytes) -> str | None:
    """The caller's key, if it was sealed with the content; raises UnsealableError."""
    key = orjson.loads(keyring.open(sealed, f"content:{message_id}")).get("key")
    return None if key is None else str(key)


def seal_raw(keyring: Keyring, account: str, body: bytes) -> bytes:
    """A webhook's or an answer's raw body: it may name the recipient."""
    return keyring.seal(body, f"receipt:{account}")
