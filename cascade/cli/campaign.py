"""Keys for rows that bring none: the same row of the same campaign has the same key again."""

from __future__ import annotations

import hashlib
import json

from collections import Counter

from cascade.cli.asking import Asked
from cascade.client import Row


class Campaign:
    """Derives keys from the campaign's name and what a row says, whatever line it stands on; the
    number as E.164 and the time in UTC, or the same row spelled otherwise is another.

    Rows that say the same are numbered, so that each is sent; remembering them takes about 100
    bytes for a distinct row.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.equal = 0  # rows so far that say what an earlier one has said
        self._met: Counter[int] = Counter()

    def key(self, row: Row) -> str:
        """The row's key; asking for the same row again gives the next one."""
        digest = _digest(
            self.name,
            row["to"],
            dict(row.get("variables") or {}),
            row.get("language"),
            str(row.get("send_at")),
        )
        short = int(digest[:16], 16)  # rows that clash here are still told apart by the digest
        self._met[short] += 1
        self.equal += self._met[short] > 1
        return f"{digest}-{self._met[short]}"


def default_name(file_name: str, asked: Asked) -> str:
    """The same for the same file name, words and policy: a file that was mended and is sent
    again stays one campaign.
    """
    templates = {
        channel: [template.name, template.language, dict(template.parameters)]
        for channel, template in asked.templates.items()
    }
    return (
        f"{file_name}-{_digest(file_name, asked.text, asked.texts, templates, asked.policy)[:12]}"
    )


def _digest(*parts: object) -> str:
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
