"""The Dockerfile as a list of instructions, and the files that it takes from the checkout."""

from __future__ import annotations

import re
import shutil

from dataclasses import dataclass, field
from pathlib import Path

from deploy.make_env import ROOT


@dataclass(frozen=True, slots=True)
class Instruction:
    """Such as COPY, with all that follows it."""

    word: str
    said: str

    @property
    def from_checkout(self) -> tuple[list[str], str] | None:
        """What a COPY takes from the checkout, and where to; None of other instructions."""
        if self.word != "COPY" or self.said.startswith("--from="):
            return None
        *sources, target = self.said.split()
        return sources, target


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM with all that follows it."""

    name: str
    parent: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, word: str) -> str | None:
        """What the last instruction of this kind says."""
        found = [one.said for one in self.instructions if one.word == word]
        return found[-1] if found else None


def stages() -> dict[str, Stage]:
    """By name, in their order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        word, _, said = line.partition(" ")
        if word == "FROM":
            parent, _, name = said.partition(" AS ")
            found[name] = Stage(name, parent)
        elif word and found:
            list(found.values())[-1].instructions.append(Instruction(word, said))
    return found


def copied(stage: str) -> list[tuple[str, str]]:
    """Each path that a stage takes from the checkout, with where it goes."""
    pairs = [one.from_checkout for one in stages()[stage].instructions]
    return [(source, pair[1]) for pair in pairs if pair for source in pair[0]]


def tree(directory: Path) -> None:
    """Fills `directory` with the Python packages and config files of the service's image."""
    for stage in ("build", "service"):
        for source, _ in copied(stage):
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, directory / source, ignore=ignored)
