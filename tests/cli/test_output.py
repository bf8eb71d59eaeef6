from __future__ import annotations

import io

from rich.console import Console

from cascade.cli.output import table


def test_no_word_of_a_table_is_cut_however_narrow_the_terminal():
    words = ("settings", "CASCADE_CLOUD_WHATSAPP_ACCESS_TOKEN")
    screen = io.StringIO()

    Console(width=30, file=screen).print(table(("check", "what to do"), [words]))

    _, *lines = screen.getvalue().splitlines()
    assert "…" not in screen.getvalue()
    assert "".join(line[10:].strip() for line in lines) == words[1]
