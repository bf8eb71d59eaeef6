"""A provider's no, in its own code."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818  # an answer, not a fault
    """The request is not accepted; `code` is the provider's, `event` the ledger's word for it."""

    def __init__(self, code: str, *, event: str = "refused") -> None:
        super().__init__(code)
        self.code = code
        self.event = event
