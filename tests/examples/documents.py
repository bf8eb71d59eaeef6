"""`python -m tests.examples.documents README.md` runs what it says: each kind of code block in its own
way, all in one process, as its reader would.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib

from collections.abc import Iterator
from pathlib import Path

import yaml

from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser


ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^ *```(\S*)$", re.MULTILINE)

# `text` is output and pictures of files, `mermaid` is drawn by the reader's viewer, and the
# commands of `console` start what tests of their own start.
SHOWN = frozenset({"text", "mermaid", "console"})


def in_bash(example: Example) -> None:
    """Runs a block as a script; `$MESSAGE_ID` is the `message_id` of the blocks before."""
    message_id = str(example.namespace.get("message_id", ""))
    script = f"set -euo pipefail\n{example.parsed}"
    done = subprocess.run(
        ["bash", "-c", script],  # noqa: S607  # the reader's own shell
        env=os.environ | {"MESSAGE_ID": message_id},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"{example.path}:{example.line}\n{done.stdout}\n{done.stderr}"


def as_toml(example: Example) -> None:
    """Reads a block as TOML, and as policies where it is some."""
    document = tomllib.loads(example.parsed)
    if "policies" in document:
        # Here, since they take longer to load than most documents to run.
        from cascade.domain.policy import read_policies  # noqa: PLC0415  # see above
        from cascade.services.sync import load_channels  # noqa: PLC0415  # see above

        read_policies("policies.toml", document, load_channels(ROOT / "config"))


def as_json(example: Example) -> None:
    json.loads(example.parsed)


def as_yaml(example: Example) -> None:
    yaml.safe_load(example.parsed)


SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser("bash", in_bash),
        CodeBlockParser("toml", as_toml),
        CodeBlockParser("json", as_json),
        CodeBlockParser("yaml", as_yaml),
    ]
)
RUN = frozenset({"python", "bash", "toml", "json", "yaml"})


def parsed(path: Path) -> Document:
    """The document with its examples."""
    return SYBIL.parse(path)


def name_of(path: Path) -> str:
    """The document's path in the checkout."""
    return str(path.relative_to(ROOT))


def languages(path: Path) -> Iterator[str]:
    """The language of each fenced block."""
    yield from FENCE.findall(path.read_text("utf-8"))[::2]


def shown_commands(path: Path) -> Iterator[str]:
    """The lines of `console` blocks."""
    text = path.read_text("utf-8")
    for block in re.findall(r"^ *```console\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield from (line.strip() for line in block.splitlines() if line.strip())


def main() -> None:
    """Runs the code blocks of a document; the first that fails ends it with a traceback."""
    for example in parsed(Path(sys.argv[1])).examples():
        example.evaluate()


if __name__ == "__main__":
    main()
