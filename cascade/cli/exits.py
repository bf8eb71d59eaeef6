"""What the end of a command tells a script."""

from __future__ import annotations


REFUSED = 1  # the answer is no: rows refused, a check is red
INVALID = 2  # wrong use, or a value that is refused
MISCONFIGURED = 3  # the configuration cannot be used
UNREACHABLE = 4  # the database or the broker
INTERRUPTED = 130  # Ctrl-C
