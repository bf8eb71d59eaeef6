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


class CascadeError(Exception):
    """Something that a person has to mend: `field` says where, `problem` what, `cure` how."""

    def __init__(self, field: str, problem: str, cure: str) -> None:
        super().__init__(f"{field}: {problem}; {cure}")
        self.field = field
        self.problem = problem
        self.cure = cure


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
