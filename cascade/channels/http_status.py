"""What an HTTP answer means where the provider's own code says nothing.

| status | result |
|---|---|
| 429 | Throttled, with Retry-After |
| 301, 307, 308 | Rejected: the address is ours to mend |
| 408 | Unknown |
| other 4xx | Rejected |
| everything else, also a 2xx that cannot be read | Unknown: it may have been accepted |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from cascade.channels.base import (
    HttpResponse,
    Rejected,
    Result,
    Throttled,
    Unavailable,
    Unknown,
)
from cascade.channels.strict_json import loads


Results = Mapping[str, Callable[[str], Result]]

_MOVED = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}
_LONGEST_PAUSE = 86_400.0


def refused(code: str, results: Results, response: HttpResponse) -> Result:
    """The result for a provider's own `code`; by the HTTP status if `results` lacks it."""
    kind = results.get(code)
    if kind is None:
        return by_status(response, code)
    result = kind(code)
    pause = retry_after(response)
    if isinstance(result, Throttled | Unavailable) and pause is not None:
        return Throttled(code, pause)
    return result


def answer_to_poll(response: HttpResponse) -> Any:
    """The JSON of an answer; raises ValueError unless it came with 200 and can be read."""
    if response.status != HTTPStatus.OK:
        raise ValueError(f"http_{response.status}")
    return loads(response.body)


def by_status(response: HttpResponse, code: str = "") -> Result:
    """The result by HTTP status alone; `code` is the provider's, kept raw."""
    code = code or f"http_{response.status}"
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(code, retry_after(response))
    if response.status in _MOVED or _is_refusal(response.status):
        return Rejected(code)
    return Unknown(code)


def retry_after(response: HttpResponse) -> float | None:
    """The pause in seconds that the provider asks for, at most a day; a date is not read."""
    text = response.headers.get("retry-after", "")
    if not (text.isascii() and text.isdigit()):
        return None
    return min(float(text), _LONGEST_PAUSE)


def _is_refusal(status: int) -> bool:
    client_error = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return client_error and status != HTTPStatus.REQUEST_TIMEOUT
