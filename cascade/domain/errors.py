"""What a caller can be told. Every error names the field, the problem and the cure.

    CascadeError
    ├── InvalidInputError        the caller's value is refused; nothing was written
    ├── ConfigurationError       settings, policies, providers or rates cannot be used as they are
    ├── IdempotencyConflictError the key was used for another request
    ├── UnknownMessageError      no message has this id
    └── TryAgainError            nothing was written; the same call may succeed in a moment

No text of an error holds a phone number or a message's text.
"""

from __future__ import annotations

import re

from typing_extensions import override


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
_NUMBER = re.compile(r"[0-9]{5}")


class CascadeError(Exception):
    """Something that a person has to mend: `field` says where, `problem` what, `cure` how."""

    def __init__(self, field: str, problem: str, cure: str) -> None:
        super().__init__(field, problem, cure)  # as given: it is pickled between processes
        self.field = field
        self.problem = problem
        self.cure = cure

    @override
    def __str__(self) -> str:
        return f"{self.field}: {self.problem}; {self.cure}"


def shown(value: object) -> str:
    """A caller's word for an error's text, if it is a plain name; phones and texts are not."""
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and not _NUMBER.search(value)
    return repr(value) if plain else "…"


class InvalidInputError(CascadeError):
    """A caller's value is refused at the edge; nothing was written."""


class ConfigurationError(CascadeError):
    """Settings, policies, providers or rates cannot be used as they are."""


class IdempotencyConflictError(CascadeError):
    """The key was used before for another request."""


class UnknownMessageError(CascadeError):
    """No message has this id."""


class TryAgainError(CascadeError):
    """Nothing was written; the same call may succeed in a moment."""
