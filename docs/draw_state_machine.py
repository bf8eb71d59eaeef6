"""Draws the diagrams in `state-machine.md` anew from the transition table.

python docs/draw_state_machine.py
"""  # noqa: INP001  # a program beside its page, not a package

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cascade.domain.state import DECISIONS, FACTS, AttemptState


PAGE = Path(__file__).with_name("state-machine.md")

_BEGIN = "<!-- drawn by docs/draw_state_machine.py: begin -->\n"
_END = "<!-- drawn by docs/draw_state_machine.py: end -->\n"

_FIRST = (AttemptState.SCHEDULED, AttemptState.QUEUED, AttemptState.SKIPPED)  # of a new attempt


def redrawn(page: str) -> str:
    """`page` with the block between its markers drawn anew; raises ValueError without markers."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        message = f"the page has no marker {_BEGIN!r} or {_END!r}"
        raise ValueError(message)
    return f"{before}{begin}{draw()}{end}{after}"


def draw() -> str:
    """Our decisions and the providers' words, as two Mermaid diagrams in Markdown."""
    return f"""
What we decide:

{_fenced(_decisions())}
What a provider says: from any state to any that lies further along the arrows, never back.

{_fenced(_facts())}
"""


def _decisions() -> Iterator[str]:
    yield "stateDiagram-v2"
    for state in _FIRST:
        yield f"    [*] --> {state}"
    for old in AttemptState:
        for new in _in_order(DECISIONS.get(old, frozenset())):
            yield f"    {old} --> {new}"


def _facts() -> Iterator[str]:
    yield "flowchart LR"
    yield f"    {' --> '.join(['any([all other states])', *_in_order(FACTS)])}"


def _in_order(states: frozenset[AttemptState]) -> list[AttemptState]:
    return sorted(states, key=lambda state: state.rank)


def _fenced(lines: Iterator[str]) -> str:
    return "\n".join(["```mermaid", *lines, "```", ""])


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text("utf-8")), "utf-8")
