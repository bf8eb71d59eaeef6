"""Why a transport gives a call up."""

from __future__ import annotations


class GivenUpError(Exception):
    """The call's time was over before its first byte was written."""


class BodyTooLargeError(Exception):
    """The answer's body is over the limit."""
