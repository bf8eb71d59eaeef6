"""The body of a webhook, in the form that Standard Webhooks recommends."""

from __future__ import annotations

import datetime as dt
import json

from collections.abc import Mapping

from cascade.domain.callback import Webhook


def message_body(webhook: Webhook, key: str | None) -> bytes:
    """A change of a message's state; `key` is the caller's own. No number and no text is in it."""
    data = {
        "id": str(webhook.message_id),
        "state": webhook.state.value,
        "sequence": webhook.sequence,
        "success_met": webhook.success_met,
        "channel": None if webhook.channel is None else webhook.channel.value,
        "key": key,
    }
    return _body(f"message.{webhook.state}", webhook.happened_at, data)


def trial_body(moment: dt.datetime) -> bytes:
    """What `cascade callbacks test` sends."""
    return _body("endpoint.test", moment, {})


def _body(kind: str, moment: dt.datetime, data: Mapping[str, object]) -> bytes:
    timestamp = moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    whole = {"type": kind, "timestamp": timestamp, "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
