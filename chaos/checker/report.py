"""The verdict as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chaos.checker.evidence import Finding
from chaos.checker.verdict import Verdict


_WIDTH = 22


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Counts by name at the top; money as decimal strings.

    `examples` has up to 20 places for each count that is not zero.
    """
    both = {**verdict.violations, **verdict.reported}
    return {
        "clean": verdict.is_clean,
        "messages": sum(verdict.totals["messages"].values()),
        **{name: found.count for name, found in verdict.violations.items()},
        "reported": {name: found.count for name, found in verdict.reported.items()},
        "books": _books(verdict),
        "totals": verdict.totals,
        "examples": {name: list(found.examples) for name, found in both.items() if found.count},
    }


def as_text(verdict: Verdict) -> str:
    """For a person: the counts, the books, the totals, and where to look."""
    return "\n".join(
        [
            "must be zero",
            *_counts(verdict.violations),
            "",
            "reported",
            *_counts(verdict.reported),
            "",
            *_table(_books(verdict)),
            "",
            *_totals(verdict.totals),
            *_examples(verdict.violations),
        ]
    )


def _books(verdict: Verdict) -> list[dict[str, str]]:
    return [
        {
            "account": account,
            "currency": currency,
            "billed": str(sums.billed),
            "charged": str(sums.charged),
            "unattributable": str(sums.unattributable),
            "unheard": str(sums.unheard),
            "duplicates": str(sums.duplicates),
            "elsewhere": str(sums.elsewhere),
            "difference": str(sums.difference),
        }
        for (account, currency), sums in sorted(verdict.sums.items())
    ]


def _counts(findings: Mapping[str, Finding]) -> Iterator[str]:
    for name, found in findings.items():
        yield f"  {name:<{_WIDTH}}{found.count:>9}"


def _table(rows: list[dict[str, str]]) -> Iterator[str]:
    if not rows:
        return
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    yield "  ".join(name.rjust(width) for name, width in widths.items())
    for row in rows:
        yield "  ".join(row[name].rjust(width) for name, width in widths.items())


def _totals(totals: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for name, counts in totals.items():
        shown = ", ".join(f"{one} {count}" for one, count in sorted(counts.items()))
        yield f"{name}: {shown or 'none'}"


def _examples(findings: Mapping[str, Finding]) -> Iterator[str]:
    for name, found in findings.items():
        if found.count:
            yield f"\n{name}, for example:"
            yield from (f"  {one}" for one in found.examples)
