"""Phone numbers as the sandbox reads them."""

from __future__ import annotations

import re


_DIGITS = re.compile(r"[1-9][0-9]{9,14}")


def e164_of(digits: object) -> str | None:
    """`digits` with a "+" before them, or None if they are no E.164 number."""
    return f"+{digits}" if isinstance(digits, str) and _DIGITS.fullmatch(digits) else None
