"""The page of what the calls give back names all of it."""

from __future__ import annotations

import dataclasses

from pathlib import Path

import pytest

from cascade import AttemptStatus, Event, MessageStatus, ReceiptStatus, SendReport


PAGE = Path(__file__).parent.parent / "docs" / "reference.md"


@pytest.mark.parametrize("kind", [SendReport, MessageStatus, AttemptStatus, ReceiptStatus, Event])
def test_the_page_names_every_field_of_what_is_given_back(kind: type) -> None:
    _, _, rest = PAGE.read_text("utf-8").partition(f"## {kind.__name__}\n")
    section, _, _ = rest.partition("\n## ")
    names = {one.name for one in dataclasses.fields(kind)}
    assert {name for name in names if f"`{name}`" not in section} == set()
